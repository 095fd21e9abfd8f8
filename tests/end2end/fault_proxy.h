// A TCP proxy that does what networks do: cuts a connection after so many bytes, half-closes it, or lets
// nothing through any more. It understands nothing of what it carries.
#ifndef FOREKEY_TESTS_END2END_FAULT_PROXY_H_
#define FOREKEY_TESTS_END2END_FAULT_PROXY_H_

#include <atomic>
#include <list>
#include <string>
#include <thread>

#include "absl/synchronization/mutex.h"

namespace forekey::testing {

struct Fault {
  enum class Kind {
    kNone,
    kCut,        // both sides see the connection reset
    kTruncate,   // both sides see an orderly end in the middle
    kHalfClose,  // the receiver sees an end; the other direction stays open
    kStall,      // the bytes stop, and nothing else happens
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
  int faults() const { return faults_; }  // how many connections met theirs

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
  void Run();
  void Accept();
  void Carry(Link& link, Pipe& pipe, short events_from, short events_to);
  void Meet(Link& link, Pipe& pipe);
  static void Close(Link& link, bool reset);

  std::atomic<int> server_port_;
  int listener_ = -1, wake_ = -1, port_ = 0;
  absl::Mutex mutex_;
  Fault fault_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool cut_all_ ABSL_GUARDED_BY(mutex_) = false;
  std::list<Link> links_;  // of thread_ alone
  std::atomic<int> faults_{0};
  std::thread thread_;
};

}  // namespace forekey::testing

#endif  // FOREKEY_TESTS_END2END_FAULT_PROXY_H_
