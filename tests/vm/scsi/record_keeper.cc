// Records on a shared disk, one a sector, each acknowledged when the disk has it: what a pool serves in tests/vm/run
// scsi, and the client that must not lose one.
//   record_keeper serve DEVICE PORT NAME            NAME: stands in each record that this one wrote
//   record_keeper write PORT FILE ADDRESS...        one record after the other, each to whichever address takes it;
//   FILE: the
//                                                   acknowledged, a line each "number name milliseconds"
//   record_keeper verify DEVICE FILE                whether all of these are on the disk
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <span>
#include <string>
#include <thread>

#include "ccm/base/crc32c.h"
#include "ccm/base/direct_io.h"
#include "ccm/base/fd.h"
#include "ccm/base/time.h"

namespace {

using namespace hapair;
using namespace std::chrono_literals;

constexpr std::size_t kSector = 512;
constexpr std::uint64_t kRecords = 65536;  // then from the start again
constexpr int kPatienceMs = 3000;          // emulation is slow, and a takeover slower
constexpr auto kPause = 20ms;

struct Record {
  std::uint64_t number = 0;
  std::array<char, 32> writer{};
  std::array<char, 464> filling{};
  std::uint32_t checksum = 0;
  std::uint32_t spare = 0;
};
static_assert(sizeof(Record) == kSector);

struct Answer {
  std::uint64_t number = 0;
  std::int32_t error = 0;  // errno of the write; 0: the disk has it
  std::array<char, 32> writer{};
  std::uint32_t spare = 0;
};

std::uint32_t checksum_of(const Record& record) {
  return crc32c(std::as_bytes(std::span(&record, 1)).first(offsetof(Record, checksum)));
}

Record record_of(std::uint64_t number, const std::array<char, 32>& writer) {
  Record record{.number = number, .writer = writer};
  for (std::size_t i = 0; i < record.filling.size(); ++i) record.filling.at(i) = static_cast<char>((number + i) & 0x7f);
  record.checksum = checksum_of(record);
  return record;
}

off_t place_of(std::uint64_t number) { return static_cast<off_t>((1 + number % kRecords) * kSector); }

template <class Value>
bool send_all(const Fd& fd, const Value& value) {
  return ::send(fd.get(), &value, sizeof value, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof value);
}

template <class Value>
bool receive(const Fd& fd, Value& value, int patience_ms) {
  pollfd wait{.fd = fd.get(), .events = POLLIN, .revents = 0};
  if (::poll(&wait, 1, patience_ms) != 1) return false;
  return ::recv(fd.get(), &value, sizeof value, MSG_WAITALL) == static_cast<ssize_t>(sizeof value);
}

sockaddr_in address_of(const char* address, const char* port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
  ::inet_pton(AF_INET, address, &out.sin_addr);
  return out;
}

int fail(const std::string& what) {
  std::fprintf(stderr, "record_keeper: %s\n", errno_text(what).c_str());
  return 1;
}

void serve_one(const Fd& client, const Fd& disk, const DirectBlock& block, const std::array<char, 32>& name) {
  std::uint64_t number = 0;
  while (receive(client, number, -1)) {
    const Record record = record_of(number, name);
    std::memcpy(block.bytes().data(), &record, sizeof record);
    const bool written =
        ::pwrite(disk.get(), block.bytes().data(), kSector, place_of(number)) == static_cast<ssize_t>(kSector);
    const Answer answer{.number = number, .error = written ? 0 : errno, .writer = name};
    if (!written) {
      std::printf("record %llu was refused by the disk: %s\n", static_cast<unsigned long long>(number),
                  std::strerror(answer.error));
      std::fflush(stdout);
    }
    if (!send_all(client, answer)) return;
  }
}

int serve(const char* device, const char* port, const char* name) {
  const Fd disk(::open(device, O_WRONLY | O_DIRECT | O_SYNC | O_CLOEXEC));
  if (!disk.valid()) return fail(device);
  const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const sockaddr_in own = address_of("0.0.0.0", port);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0 ||
      ::listen(listener.get(), 4) != 0) {
    return fail("port");
  }
  std::array<char, 32> writer{};
  std::strncpy(writer.data(), name, writer.size() - 1);
  const DirectBlock block;
  while (true) {
    const Fd client(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (client.valid()) serve_one(client, disk, block, writer);
  }
}

// What came of one record at one address.
bool write_one(const Fd& server, std::uint64_t number, Answer& answer) {
  return send_all(server, number) && receive(server, answer, kPatienceMs) && answer.number == number;
}

Fd connect_to(const sockaddr_in& address) {
  Fd server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  (void)::connect(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  pollfd wait{.fd = server.get(), .events = POLLOUT, .revents = 0};
  int error = 0;
  socklen_t size = sizeof error;
  if (::poll(&wait, 1, kPatienceMs) != 1 || ::getsockopt(server.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 ||
      error != 0) {
    return {};
  }
  ::fcntl(server.get(), F_SETFL, 0);
  return server;
}

int write(const char* port, const char* file, std::span<char*> addresses) {
  std::ofstream acknowledged(file);
  const SystemClock clock;
  std::uint64_t number = 1;
  for (std::size_t turn = 0;; ++turn) {
    const char* address = addresses[turn % addresses.size()];
    const Fd server = connect_to(address_of(address, port));
    Answer answer;
    while (server.valid() && write_one(server, number, answer) && answer.error == 0) {
      acknowledged << number << ' ' << answer.writer.data() << ' ' << ns_of(clock.now()) / 1'000'000 << std::endl;
      ++number;
      std::this_thread::sleep_for(kPause);
    }
    if (answer.error != 0) {
      std::printf("%s: record %llu was not written: %s\n", address, static_cast<unsigned long long>(number),
                  std::strerror(answer.error));
      std::fflush(stdout);
    }
    std::this_thread::sleep_for(kPause);
  }
}

int verify(const char* device, const char* file) {
  const Fd disk(::open(device, O_RDONLY | O_DIRECT | O_CLOEXEC));
  if (!disk.valid()) return fail(device);
  std::ifstream acknowledged(file);
  const DirectBlock block;
  std::uint64_t number = 0;
  std::string name;
  std::int64_t ms = 0;
  std::uint64_t count = 0;
  std::uint64_t lost = 0;
  while (acknowledged >> number >> name >> ms) {
    if (++count != number) return fail("the acknowledged are not in order");
    Record record;
    if (::pread(disk.get(), block.bytes().data(), kSector, place_of(number)) != static_cast<ssize_t>(kSector)) {
      return fail(device);
    }
    std::memcpy(&record, block.bytes().data(), sizeof record);
    if (record.number == number && record.checksum == checksum_of(record) && name == record.writer.data()) continue;
    ++lost;
    std::printf("record %llu, acknowledged by %s, is not on the disk\n", static_cast<unsigned long long>(number),
                name.c_str());
  }
  std::printf("%llu acknowledged, %llu lost\n", static_cast<unsigned long long>(count),
              static_cast<unsigned long long>(lost));
  return lost == 0 && count != 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::span<char*> words(argv, static_cast<std::size_t>(argc));
  const std::string verb = argc > 1 ? words[1] : "";
  if (verb == "serve" && argc == 5) return serve(words[2], words[3], words[4]);
  if (verb == "write" && argc >= 5) return write(words[2], words[3], words.subspan(4));
  if (verb == "verify" && argc == 4) return verify(words[2], words[3]);
  std::fputs("record_keeper serve DEVICE PORT NAME | write PORT FILE ADDRESS... | verify DEVICE FILE\n", stderr);
  return 2;
}
