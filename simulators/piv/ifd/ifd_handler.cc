// SPDX-License-Identifier: Apache-2.0
// The reader driver that pcscd loads (IFD handler interface 3.0, ifdhandler.h): a reader with one
// slot, whose card lives behind a unix socket, DEVICENAME in reader.conf. Insertion and removal are
// reported at once, by pcscd's polling thread; nothing is buffered here, the card server knows
// everything.
//
// Threads: pcscd serialises the calls of a reader, apart from the polling thread, which has a
// connection of its own.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

// pcscd's header is C's and says so nowhere.
extern "C" {
#include <ifdhandler.h>
}
#include <reader.h>

#include "simulators/piv/ifd/ifd_protocol.h"

namespace {

using namespace forekey::ifd;  // NOLINT

// The longest wait for news of the card. pcscd then asks for itself, as it does with readers that
// report nothing.
constexpr int kWaitMs = 300;

// pcscd's event thread waits in PollingThread() and then asks for presence, to compare it with what
// it saw before. That question alone may use up the news of a removal: others, on other threads or
// in front of a power-up, ask too, and forget the answer; the event thread would never learn that
// its card had gone.
thread_local bool compares_next = false;

struct Reader {
  std::string path;
  int commands = -1;
  int events = -1;
  int stop = -1;  // eventfd: ends the polling thread's wait
  std::vector<unsigned char> atr;

  ~Reader() {
    for (int fd : {commands, events, stop}) {
      if (fd >= 0) close(fd);
    }
  }
};

std::mutex readers_mutex;
std::map<DWORD, std::shared_ptr<Reader>> readers;

std::shared_ptr<Reader> Find(DWORD lun) {
  std::lock_guard lock(readers_mutex);
  auto found = readers.find(lun);
  return found == readers.end() ? nullptr : found->second;
}

int Connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return -1;
  memcpy(address.sun_path, path.data(), path.size());
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

void Drop(int* fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

// Sends a request and waits for its answer; false when the card server is gone. A server that went
// and came back is connected to once more.
bool Ask(Reader& reader, uint8_t request, const unsigned char* data, size_t size,
         std::vector<unsigned char>* answer) {
  std::vector<unsigned char> message(1, request);
  message.insert(message.end(), data, data + size);
  answer->resize(kMaxMessage);
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (reader.commands < 0) reader.commands = Connect(reader.path);
    if (reader.commands < 0) return false;
    if (send(reader.commands, message.data(), message.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(message.size())) {
      Drop(&reader.commands);
      continue;
    }
    ssize_t got;
    do {
      got = recv(reader.commands, answer->data(), answer->size(), 0);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
      answer->resize(got);
      return true;
    }
    Drop(&reader.commands);
    // An APDU may have been executed: it is never sent twice.
    if (request == kTransmit) return false;
  }
  return false;
}

// A pcscd that was started for a simulated card alone ends with it, even where the simulator was
// killed; any other one is told of the loss a few times a second, not in a tight loop.
void EndWithoutServer(const Reader& reader) {
  if (getenv("FOREKEY_IFD_LIFELINE") != nullptr) kill(getpid(), SIGTERM);
  pollfd stopped{reader.stop, POLLIN, 0};
  poll(&stopped, 1, kWaitMs);
}

RESPONSECODE PollingThread(DWORD lun, int timeout_ms) {
  compares_next = true;
  auto reader = Find(lun);
  if (reader == nullptr) return IFD_NO_SUCH_DEVICE;
  if (reader->events < 0) {
    reader->events = Connect(reader->path);
    if (reader->events < 0 || send(reader->events, &kWait, 1, MSG_NOSIGNAL) != 1) {
      Drop(&reader->events);
      EndWithoutServer(*reader);
      return IFD_SUCCESS;
    }
  }
  pollfd polled[2] = {{reader->events, POLLIN, 0}, {reader->stop, POLLIN, 0}};
  if (poll(polled, 2, std::min(timeout_ms, kWaitMs)) <= 0) return IFD_SUCCESS;
  if (polled[1].revents != 0) {
    uint64_t count;
    (void)!read(reader->stop, &count, sizeof count);
    return IFD_SUCCESS;
  }
  unsigned char state;
  if (recv(reader->events, &state, 1, 0) != 1 ||
      send(reader->events, &kWait, 1, MSG_NOSIGNAL) != 1) {
    Drop(&reader->events);
  }
  return IFD_SUCCESS;
}

RESPONSECODE StopPollingThread(DWORD lun) {
  auto reader = Find(lun);
  if (reader == nullptr) return IFD_NO_SUCH_DEVICE;
  uint64_t one = 1;
  (void)!write(reader->stop, &one, sizeof one);
  return IFD_SUCCESS;
}

// Copies a value out, as IFDHGetCapabilities does it.
RESPONSECODE Give(const void* value, size_t size, PDWORD length, PUCHAR out) {
  if (*length < size) return IFD_ERROR_INSUFFICIENT_BUFFER;
  *length = size;
  memcpy(out, value, size);
  return IFD_SUCCESS;
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) RESPONSECODE IFDHCreateChannelByName(DWORD lun, LPSTR name) {
  auto reader = std::make_shared<Reader>();
  reader->path = name;
  reader->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  std::vector<unsigned char> answer;
  if (!Ask(*reader, kPresence, nullptr, 0, &answer)) return IFD_NO_SUCH_DEVICE;
  std::lock_guard lock(readers_mutex);
  readers[lun] = std::move(reader);
  return IFD_SUCCESS;
}

__attribute__((visibility("default"))) RESPONSECODE IFDHCreateChannel(DWORD, DWORD) {
  return IFD_NOT_SUPPORTED;
}

__attribute__((visibility("default"))) RESPONSECODE IFDHCloseChannel(DWORD lun) {
  std::lock_guard lock(readers_mutex);
  readers.erase(lun);
  return IFD_SUCCESS;
}

__attribute__((visibility("default"))) RESPONSECODE IFDHGetCapabilities(DWORD lun, DWORD tag,
                                                                        PDWORD length,
                                                                        PUCHAR value) {
  auto reader = Find(lun);
  if (reader == nullptr) return IFD_NO_SUCH_DEVICE;
  const UCHAR one = 1, no = 0, many = 16;
  switch (tag) {
    case TAG_IFD_ATR:
    case SCARD_ATTR_ATR_STRING:
      return Give(reader->atr.data(), reader->atr.size(), length, value);
    case TAG_IFD_SLOTS_NUMBER:
      return Give(&one, 1, length, value);
    case TAG_IFD_SIMULTANEOUS_ACCESS:
      return Give(&many, 1, length, value);
    case TAG_IFD_THREAD_SAFE:  // between readers
      return Give(&one, 1, length, value);
    case TAG_IFD_SLOT_THREAD_SAFE:
    case TAG_IFD_POLLING_THREAD_KILLABLE:
      return Give(&no, 1, length, value);
    case TAG_IFD_POLLING_THREAD_WITH_TIMEOUT: {
      auto* function = &PollingThread;
      return Give(&function, sizeof function, length, value);
    }
    case TAG_IFD_STOP_POLLING_THREAD: {
      auto* function = &StopPollingThread;
      return Give(&function, sizeof function, length, value);
    }
    default:
      return IFD_ERROR_TAG;
  }
}

__attribute__((visibility("default"))) RESPONSECODE IFDHSetCapabilities(DWORD, DWORD, DWORD,
                                                                        PUCHAR) {
  return IFD_NOT_SUPPORTED;
}

__attribute__((visibility("default"))) RESPONSECODE IFDHSetProtocolParameters(DWORD, DWORD protocol,
                                                                              UCHAR, UCHAR, UCHAR,
                                                                              UCHAR) {
  return protocol == SCARD_PROTOCOL_T1 ? IFD_SUCCESS : IFD_PROTOCOL_NOT_SUPPORTED;
}

__attribute__((visibility("default"))) RESPONSECODE IFDHPowerICC(DWORD lun, DWORD action,
                                                                 PUCHAR atr, PDWORD atr_length) {
  auto reader = Find(lun);
  if (reader == nullptr) return IFD_NO_SUCH_DEVICE;
  uint8_t request = action == IFD_POWER_UP ? kPowerUp : action == IFD_RESET ? kReset : kPowerDown;
  const DWORD room = *atr_length;
  *atr_length = 0;
  std::vector<unsigned char> answer;
  if (!Ask(*reader, request, nullptr, 0, &answer)) return IFD_COMMUNICATION_ERROR;
  if (request == kPowerDown) return IFD_SUCCESS;
  if (answer[0] != kPresent) return IFD_ERROR_POWER_ACTION;
  reader->atr.assign(answer.begin() + 1, answer.end());
  if (reader->atr.size() > room) return IFD_ERROR_INSUFFICIENT_BUFFER;
  memcpy(atr, reader->atr.data(), reader->atr.size());
  *atr_length = reader->atr.size();
  return IFD_SUCCESS;
}

__attribute__((visibility("default"))) RESPONSECODE IFDHTransmitToICC(DWORD lun, SCARD_IO_HEADER,
                                                                      PUCHAR tx, DWORD tx_length,
                                                                      PUCHAR rx, PDWORD rx_length,
                                                                      PSCARD_IO_HEADER) {
  auto reader = Find(lun);
  const DWORD room = *rx_length;
  *rx_length = 0;
  if (reader == nullptr) return IFD_NO_SUCH_DEVICE;
  if (tx_length + 1 > kMaxMessage) return IFD_COMMUNICATION_ERROR;
  std::vector<unsigned char> answer;
  if (!Ask(*reader, kTransmit, tx, tx_length, &answer)) return IFD_COMMUNICATION_ERROR;
  if (answer[0] == kAbsent) return IFD_ICC_NOT_PRESENT;
  if (answer.size() - 1 > room) return IFD_ERROR_INSUFFICIENT_BUFFER;
  memcpy(rx, answer.data() + 1, answer.size() - 1);
  *rx_length = answer.size() - 1;
  return IFD_SUCCESS;
}

__attribute__((visibility("default"))) RESPONSECODE IFDHControl(DWORD, DWORD, PUCHAR, DWORD, PUCHAR,
                                                                DWORD, LPDWORD returned) {
  if (returned != nullptr) *returned = 0;
  return IFD_ERROR_NOT_SUPPORTED;
}

__attribute__((visibility("default"))) RESPONSECODE IFDHICCPresence(DWORD lun) {
  auto reader = Find(lun);
  if (reader == nullptr) return IFD_NO_SUCH_DEVICE;
  std::vector<unsigned char> answer;
  // Not IFD_NO_SUCH_DEVICE: that would have pcscd signal the process that /run/pcscd/pcscd.pid
  // names, which may be another.
  if (!Ask(*reader, std::exchange(compares_next, false) ? kPolled : kPresence, nullptr, 0,
           &answer)) {
    EndWithoutServer(*reader);
    return IFD_COMMUNICATION_ERROR;
  }
  return answer[0] == kPresent ? IFD_ICC_PRESENT : IFD_ICC_NOT_PRESENT;
}

}  // extern "C"
