// SPDX-License-Identifier: Apache-2.0
// One piece of work for all who wait for it at the same time. Who asks for what is under way
// already joins it; when everybody has left, it is abandoned, and who comes then starts it anew.
#ifndef FOREKEY_SRC_BASE_SINGLE_FLIGHT_H_
#define FOREKEY_SRC_BASE_SINGLE_FLIGHT_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace forekey {

// Safe from any thread; nothing here blocks. A waiter is called once, without a lock held, by
// whoever finishes the flight or abandons all; never after Leave() returned true for it.
template <typename Result>
class SingleFlight {
 public:
  class Flight;
  using Waiter = std::function<void(const Flight& flight, const Result& result)>;

  class Flight {
   public:
    explicit Flight(std::string key) : key_(std::move(key)) {}
    const std::string& key() const { return key_; }
    // Nobody waits any more: who works on it should stop.
    bool abandoned() const { return abandoned_.load(std::memory_order_acquire); }

   private:
    friend class SingleFlight;
    const std::string key_;
    std::atomic<bool> abandoned_{false};
    std::map<uint64_t, Waiter> waiters_;  // guarded by the SingleFlight's mutex
  };
  using FlightPtr = std::shared_ptr<Flight>;

  struct Ticket {
    FlightPtr flight;
    uint64_t number = 0;
    bool started = false;  // the caller has to do the work, and then to call Finish() once
  };

  // Waits for the flight of that key.
  Ticket Join(const std::string& key, Waiter waiter) {
    absl::MutexLock lock(&mutex_);
    auto found = flights_.find(key);
    return found == flights_.end() ? Start(key, std::move(waiter))
                                   : Board(found->second, std::move(waiter));
  }

  // Waits for that very flight; a ticket without one where it has landed or was abandoned.
  Ticket JoinFlight(const FlightPtr& flight, Waiter waiter) {
    absl::MutexLock lock(&mutex_);
    auto found = flights_.find(flight->key_);
    if (found == flights_.end() || found->second != flight) return Ticket();
    return Board(flight, std::move(waiter));
  }

  // True when the waiter had not been called and never will be. The last one's leaving abandons
  // the flight.
  bool Leave(const Ticket& ticket) {
    absl::MutexLock lock(&mutex_);
    if (ticket.flight == nullptr || ticket.flight->waiters_.erase(ticket.number) == 0) return false;
    if (ticket.flight->waiters_.empty()) Abandon(ticket.flight);
    return true;
  }

  // Answers all who wait. Does nothing more for a flight that was abandoned.
  void Finish(const FlightPtr& flight, const Result& result) {
    for (const auto& [number, waiter] : Land(flight)) waiter(*flight, result);
  }

  // Answers all who wait, before the work is done: it is abandoned.
  void FinishEarly(const FlightPtr& flight, const Result& result) {
    {
      absl::MutexLock lock(&mutex_);
      Abandon(flight);
    }
    Finish(flight, result);
  }

  // Answers everybody with `result`, and abandons what is under way.
  void AbandonAll(const Result& result) {
    std::vector<FlightPtr> all;
    {
      absl::MutexLock lock(&mutex_);
      for (const auto& [key, flight] : flights_) all.push_back(flight);
      for (const FlightPtr& flight : all) Abandon(flight);
    }
    for (const FlightPtr& flight : all) Finish(flight, result);
  }

  // How many wait.
  size_t waiters() const {
    absl::MutexLock lock(&mutex_);
    size_t count = 0;
    for (const auto& [key, flight] : flights_) count += flight->waiters_.size();
    return count;
  }

 private:
  Ticket Start(const std::string& key, Waiter waiter) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    FlightPtr flight = std::make_shared<Flight>(key);
    flights_[key] = flight;
    Ticket ticket = Board(flight, std::move(waiter));
    ticket.started = true;
    return ticket;
  }
  Ticket Board(const FlightPtr& flight, Waiter waiter) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    flight->waiters_[++last_] = std::move(waiter);
    return Ticket{flight, last_, false};
  }
  void Remove(const FlightPtr& flight) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    auto found = flights_.find(flight->key_);
    if (found != flights_.end() && found->second == flight) flights_.erase(found);
  }
  void Abandon(const FlightPtr& flight) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    flight->abandoned_.store(true, std::memory_order_release);
    Remove(flight);
  }
  std::map<uint64_t, Waiter> Land(const FlightPtr& flight) {
    absl::MutexLock lock(&mutex_);
    Remove(flight);
    return std::exchange(flight->waiters_, {});
  }

  mutable absl::Mutex mutex_;
  std::map<std::string, FlightPtr> flights_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_BASE_SINGLE_FLIGHT_H_
