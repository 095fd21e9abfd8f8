// SPDX-License-Identifier: Apache-2.0
// A TCP proxy that does what networks do: cuts a connection after so many bytes, half-closes it,
// holds what is under way, or lets one overtake another. It understands nothing of what it carries.
#ifndef FOREKEY_TESTS_END2END_FAULT_PROXY_H_
#define FOREKEY_TESTS_END2END_FAULT_PROXY_H_

#include <atomic>
#include <functional>
#include <list>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"

namespace forekey::testing {

struct Fault {
  enum class Kind {
    kNone,
    kCut,        // both sides see the connection reset
    kTruncate,   // both sides see an orderly end in the middle
    kHalfClose,  // the receiver sees an end; the other direction stays open
    kStall,      // the bytes are held until Release(), and nothing else happens
    kDribble,    // a byte at a time from there on
  };
  Kind kind = Kind::kNone;
  bool from_client = true;  // which direction is counted
  size_t after_bytes = 0;
};

class FaultProxy {
 public:
  // Ends the test program where it can't listen on 127.0.0.1.
  explicit FaultProxy(int server_port);
  ~FaultProxy();
  int port() const { return port_; }

  // Of connections that are made from now on.
  void Set(Fault fault);
  void SetServer(int server_port) { server_port_ = server_port; }
  // Cuts all that are open.
  void CutAll();
  // All that are open meet a fault here and now.
  void Strike(Fault::Kind kind, bool from_client);
  // What is stalled goes on, with every byte that was held.
  void Release();
  // The next `count` connections are held back until all of them are there, and reach the server in
  // the reverse of the order that they came in.
  void ReverseNext(size_t count);
  int faults() const { return faults_; }  // how many connections met theirs
  size_t open() const { return open_; }   // connections now, those held back included

 private:
  struct Pipe {
    int from = -1, to = -1;
    std::string waiting;
    size_t carried = 0;
    bool ended = false, faulty = false;
  };
  struct Link {
    int client = -1, server = -1;
    Pipe up, down;
    Fault fault;
    bool met = false, dead = false;
  };
  struct Orders {  // for thread_, which carries them out at its next turn
    bool cut_all = false, release = false;
    bool strike = false, from_client = false;
    Fault::Kind kind = Fault::Kind::kNone;
  };
  void Run();
  void Order(const std::function<void()>& change);
  void Obey(const Orders& orders, Link& link);
  void Accept();
  void Connect(int client);
  void Carry(Link& link, Pipe& pipe, short events_from, short events_to);
  void Meet(Link& link, Pipe& pipe);
  static bool Stalled(const Link& link, const Pipe& pipe);
  static void Close(Link& link, bool reset);

  std::atomic<int> server_port_;
  int listener_ = -1, wake_ = -1, port_ = 0;
  absl::Mutex mutex_;
  Fault fault_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  Orders orders_ ABSL_GUARDED_BY(mutex_);
  size_t reverse_ ABSL_GUARDED_BY(mutex_) = 0;
  std::list<Link> links_;          // of thread_ alone
  std::vector<int> held_clients_;  // of thread_ alone
  std::atomic<int> faults_{0};
  std::atomic<size_t> open_{0};
  std::thread thread_;
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_END2END_FAULT_PROXY_H_
