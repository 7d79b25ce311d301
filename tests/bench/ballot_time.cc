// How long one proposal takes on mailbox disks that are files: one node claims a pool again and again, its partner has
// its slots there and is silent.
//
// usage: ballot_time PROPOSALS FILE [FILE FILE]; makes the files; prints the microseconds of each proposal, a line
// each.
#include <fcntl.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "agent/shell/ownership_disks.h"

namespace hapair::agent {
namespace {

ccm::DiskPair pair_of(bool lower) {
  const auto alpha = *NodeName::parse("alpha");
  const auto beta = *NodeName::parse("beta");
  return {*PairName::parse("bench"), lower ? alpha : beta, lower ? beta : alpha};
}

bool make_area(const std::string& path) {
  const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  std::vector<std::byte> area(ccm::kDiskBytes);
  const auto header = ccm::encode_disk_header(pair_of(true), {7});
  std::copy(header.begin(), header.end(), area.begin());
  return file.valid() && ::pwrite(file.get(), area.data(), area.size(), 0) == static_cast<ssize_t>(area.size()) &&
         ::fsync(file.get()) == 0;
}

class Node {
 public:
  Node(sd_event* loop, const std::vector<std::string>& devices, bool lower)
      : loop_(loop),
        disks_(loop,
               {.devices = devices,
                .of = pair_of(lower),
                .pools = {*PoolName::parse("pool-a")},
                .pair_key = ccm::Key::from_secret(std::as_bytes(std::span("a secret of at least thirty-two bytes"))),
                .life = lower ? 1U : 2U,
                .disk_deadline = std::chrono::seconds(10),
                .patience = std::chrono::seconds(60),
                .backoff = std::chrono::milliseconds(10),
                .lock = nullptr},
               {.outcome = [this](PoolIndex, const BallotOutcome& outcome) { outcome_ = outcome; }, .seen = nullptr}) {}

  // Whether it came to that outcome.
  bool run(const std::optional<Proposal>& proposal, BallotOutcome::Kind expected) {
    outcome_.reset();
    disks_.begin(0, proposal);
    while (!outcome_) {
      if (sd_event_run(loop_, UINT64_MAX) < 0) return false;
    }
    return outcome_->kind == expected;
  }

 private:
  sd_event* loop_;
  std::optional<BallotOutcome> outcome_;
  OwnershipDisks disks_;
};

int measure(std::size_t proposals, const std::vector<std::string>& devices) {
  sd_event* loop = nullptr;
  if (sd_event_new(&loop) < 0) return 1;
  Node partner(loop, devices, false);
  Node node(loop, devices, true);
  if (!partner.run(std::nullopt, BallotOutcome::Kind::known) || !node.run(std::nullopt, BallotOutcome::Kind::known)) {
    std::fputs("ballot_time: the disks could not be read and written\n", stderr);
    return 1;
  }
  const SystemClock clock;
  const Proposal claim{.epoch = Epoch(1), .owner = ccm::PairSide::lower, .rests_on = std::nullopt};
  for (std::size_t i = 0; i < proposals; ++i) {
    const Instant began = clock.now();
    if (!node.run(claim, BallotOutcome::Kind::decided)) {
      std::fputs("ballot_time: a proposal was not decided\n", stderr);
      return 1;
    }
    std::printf("%.1f\n", ms_of(clock.now() - began) * 1000);
    // What is written for the partner to know is not of this proposal, and must not be of the next.
    const Instant next = clock.now() + std::chrono::milliseconds(20);
    while (clock.now() < next) (void)sd_event_run(loop, 1000);
  }
  return 0;
}

}  // namespace
}  // namespace hapair::agent

int main(int argc, char** argv) {
  if (argc != 3 && argc != 5) {
    std::fputs("usage: ballot_time PROPOSALS FILE [FILE FILE]\n", stderr);
    return 2;
  }
  const std::vector<std::string> devices(argv + 2, argv + argc);
  for (const std::string& device : devices) {
    if (!hapair::agent::make_area(device)) {
      std::perror(device.c_str());
      return 1;
    }
  }
  return hapair::agent::measure(std::strtoull(argv[1], nullptr, 10), devices);
}
