// 1 MiB remote writes over a port of fabric shm into another process's memory, eight outstanding, beside memcpy of the
// same blocks between two memories of this process; by turns in one run, so that a noisy machine touches both.
//
// usage: shm_write [RUNS [MEGABYTES]]; of each: min, median, max of RUNS runs of MEGABYTES (default 15 of 4096), and
// the ratio of the medians.
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "ccm/fabric/shm/shm_port_fabric.h"

namespace hapair::ccm {
namespace {

constexpr PortId kPort{1};
constexpr std::size_t kMegabyte = std::size_t{1} << 20U;
constexpr std::size_t kOutstanding = 8;
constexpr std::size_t kMemory = kOutstanding * kMegabyte;

const SystemClock kClock;

ShmSettings settings(const std::string& dir, const char* own, const char* partner) {
  return {.dir = dir,
          .pair = *PairName::parse("bench"),
          .node = *NodeName::parse(own),
          .partner = *NodeName::parse(partner)};
}

PortToken token() {
  PortToken bytes{};
  bytes.fill(0x42);
  return bytes;
}

// Memory as a port exposes it, and as the memcpy beside it uses: the same kind on both sides of the comparison.
Mapping shared_memory(Fd& fd) {
  fd = Fd(::memfd_create("shm_write", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (::ftruncate(fd.get(), static_cast<off_t>(kMemory)) != 0) std::abort();
  auto mapping = Mapping::map(fd, kMemory, true);
  if (!mapping) std::abort();
  std::ranges::fill(mapping->bytes(), std::byte{1});
  return std::move(*mapping);
}

[[noreturn]] void serve_memory(const std::string& dir, int ready) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Fd fd;
  const Mapping memory = shared_memory(fd);
  ShmPortFabric fabric(settings(dir, "beta", "alpha"));
  const PortExposure exposure{
      .memory = memory.bytes(), .partner_reads = true, .partner_writes = true, .memory_fd = fd.get()};
  if (!fabric.open() || !fabric.add(kPort, token(), exposure) || ::write(ready, "r", 1) != 1) ::_exit(1);
  std::array<PortEvent, 16> events;
  while (true) {
    pollfd one{fabric.poll_fd(), POLLIN, 0};
    ::poll(&one, 1, 1000);
    (void)fabric.poll(kClock.now(), events);
  }
}

// How many operations completed in one turn; nothing where one failed.
std::optional<std::size_t> completed(ShmPortFabric& fabric) {
  pollfd one{fabric.poll_fd(), POLLIN, 0};
  ::poll(&one, 1, 1000);
  std::array<PortEvent, 16> events;
  const std::size_t count = fabric.poll(kClock.now(), events);
  for (std::size_t i = 0; i < count; ++i) {
    if (events.at(i).error != FabricError::none) return std::nullopt;
  }
  return count;
}

double gigabytes_per_second(std::size_t megabytes, Duration took) {
  return static_cast<double>(megabytes * kMegabyte) / (ms_of(took) / 1000) / 1e9;
}

std::optional<double> run_port(ShmPortFabric& fabric, std::span<const std::byte> from, std::size_t megabytes) {
  std::size_t posted = 0;
  std::size_t finished = 0;
  const Instant before = kClock.now();
  while (finished < megabytes) {
    while (posted < megabytes && posted < finished + kOutstanding) {
      const std::size_t at = posted % kOutstanding * kMegabyte;
      if (!fabric.post_write(kClock.now(), kPort, OperationId(posted), at, from.subspan(at, kMegabyte))) break;
      ++posted;
    }
    const auto done = completed(fabric);
    if (!done) return std::nullopt;
    finished += *done;
  }
  return gigabytes_per_second(megabytes, kClock.now() - before);
}

double run_memcpy(std::span<std::byte> to, std::span<const std::byte> from, std::size_t megabytes) {
  const Instant before = kClock.now();
  for (std::size_t i = 0; i < megabytes; ++i) {
    const std::size_t at = i % kOutstanding * kMegabyte;
    std::memcpy(to.data() + at, from.data() + at, kMegabyte);
    asm volatile("" ::: "memory");  // each of them is wanted
  }
  return gigabytes_per_second(megabytes, kClock.now() - before);
}

double show(const char* what, std::vector<double> values) {
  std::ranges::sort(values);
  const double median = values[values.size() / 2];
  std::printf("%-32smin %.2f  median %.2f  max %.2f GB/s  n=%zu\n", what, values.front(), median, values.back(),
              values.size());
  return median;
}

int run(const std::string& dir, std::size_t runs, std::size_t megabytes) {
  std::array<int, 2> ready{};
  char said = 0;
  if (::pipe(ready.data()) != 0) return 1;
  if (::fork() == 0) serve_memory(dir, ready[1]);
  ::close(ready[1]);
  ShmPortFabric fabric(settings(dir, "alpha", "beta"));
  if (::read(ready[0], &said, 1) != 1 || !fabric.open() || !fabric.add(kPort, PortToken{}, {})) {
    std::fputs("shm_write: the ports could not be opened\n", stderr);
    return 1;
  }
  fabric.connect(kClock.now(), kPort, token());
  std::optional<std::size_t> done = 0;
  while (done && *done == 0) done = completed(fabric);
  Fd fd;
  const Mapping to = shared_memory(fd);
  const std::vector<std::byte> from(kMemory, std::byte{0x5a});
  // Once before it counts: every page of both has been touched.
  if (!done || !run_port(fabric, from, kOutstanding)) {
    std::fputs("shm_write: no connection\n", stderr);
    return 1;
  }
  (void)run_memcpy(to.bytes(), from, kOutstanding);
  std::vector<double> port;
  std::vector<double> copy;
  for (std::size_t i = 0; i < runs; ++i) {
    const auto one = run_port(fabric, from, megabytes);
    if (!one) {
      std::fputs("shm_write: the connection was lost\n", stderr);
      return 1;
    }
    port.push_back(*one);
    copy.push_back(run_memcpy(to.bytes(), from, megabytes));
  }
  const double write = show("1 MiB remote writes over shm", port);
  const double plain = show("memcpy of 1 MiB", copy);
  std::printf("ratio of the medians: %.2f\n", write / plain);
  return 0;
}

}  // namespace
}  // namespace hapair::ccm

int main(int argc, char** argv) {
  const auto number = [&](int at, int otherwise) {
    return static_cast<std::size_t>(argc > at ? std::max(std::atoi(argv[at]), 1) : otherwise);
  };
  std::string dir = "/tmp/hapair-shm-write-XXXXXX";
  if (::mkdtemp(dir.data()) == nullptr) return 1;
  const int status = hapair::ccm::run(dir, number(1, 15), number(2, 4096));
  std::error_code ignored;
  std::filesystem::remove_all(dir, ignored);
  return status;
}
