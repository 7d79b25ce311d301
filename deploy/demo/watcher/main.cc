// hapair-demo-watcher SPEC [RESULT]: looks at both nodes from outside, some hundred times a second, until SIGTERM.
// Standard output: one JSON object for each change of what a node holds. At the end the result goes to RESULT: for each
// pool how long two nodes held something of it at once, how many samples were taken and the largest gap between two.
#include <dirent.h>
#include <poll.h>
#include <sched.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "ccm/base/fd.h"
#include "ccm/base/time.h"
#include "deploy/demo/watcher/holding.h"
#include "deploy/demo/watcher/node_view.h"
#include "deploy/demo/watcher/overlap.h"

namespace {

using namespace hapair::demo;
using hapair::Duration;
using hapair::Instant;
using hapair::ms_of;
using nlohmann::json;

volatile std::sig_atomic_t stop_asked = 0;
void on_signal(int) { stop_asked = 1; }

// Looking into tgtd's open files and over all loop devices costs more than the rest: every so many samples.
constexpr std::uint64_t kSamplesPerSlowLook = 8;

class Watch {
 public:
  explicit Watch(WatchSpec spec) : spec_(std::move(spec)), overlaps_(spec_.pools.size()) {
    for (const WatchedNode& node : spec_.nodes) views_.emplace_back(node, spec_.pools);
  }

  void sample() {
    const Instant now = clock_.now();
    const bool slow = samples_ % kSamplesPerSlowLook == 0;
    for (NodeView& view : views_) look(view, now, slow);
    for (std::size_t pool = 0; pool < spec_.pools.size(); ++pool) {
      std::size_t owners = count_owners(pool);
      // The nodes are looked at one after the other. One that let go between the two looks is no second owner: look
      // again, in the other order.
      if (owners >= 2) {
        for (auto view = views_.rbegin(); view != views_.rend(); ++view) look(*view, clock_.now(), true);
        owners = count_owners(pool);
      }
      const Instant seen = clock_.now();
      overlaps_[pool].sample(seen, owners);
    }
    if (samples_ > 0) largest_gap_ = std::max(largest_gap_, now - last_);
    if (samples_ == 0) first_ = now;
    last_ = now;
    ++samples_;
  }

  [[nodiscard]] json result() const {
    const Instant now = clock_.now();
    json pools = json::object();
    for (std::size_t i = 0; i < spec_.pools.size(); ++i) {
      json intervals = json::array();
      for (const auto& interval : overlaps_[i].intervals()) {
        intervals.push_back({{"from_ns", ns_of(interval.from)}, {"to_ns", ns_of(interval.to)}});
      }
      pools[spec_.pools[i].name] = {{"two_owners_ms", ms_of(overlaps_[i].two_owners(now))},
                                    {"intervals", std::move(intervals)}};
    }
    return {{"samples", samples_},
            {"watched_ms", ms_of(last_ - first_)},
            {"largest_gap_ms", ms_of(largest_gap_)},
            {"pools", std::move(pools)}};
  }

 private:
  void look(NodeView& view, Instant now, bool slow) {
    const auto before = held_by(view);
    view.look(now, slow);
    const auto after = held_by(view);
    if (after == before) return;
    std::size_t i = 0;
    for (const WatchedPool& pool : spec_.pools) {
      for (const Holding holding : kHoldings) {
        if (before[i] != after[i]) say(view.name(), pool.name, text_of(holding), after[i]);
        ++i;
      }
    }
  }

  std::vector<bool> held_by(const NodeView& view) const {
    std::vector<bool> held;
    for (std::size_t pool = 0; pool < spec_.pools.size(); ++pool) {
      for (const Holding holding : kHoldings) held.push_back(view.holds(pool, holding));
    }
    return held;
  }

  [[nodiscard]] std::size_t count_owners(std::size_t pool) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(views_, [&](const NodeView& view) { return view.holds_any(pool); }));
  }

  void say(const std::string& node, const std::string& pool, std::string_view holding, bool held) {
    const json line{
        {"when_ns", ns_of(clock_.now())}, {"node", node}, {"pool", pool}, {"what", holding}, {"held", held}};
    std::fputs((line.dump() + "\n").c_str(), stdout);
    std::fflush(stdout);
  }

  WatchSpec spec_;
  hapair::SystemClock clock_;
  std::vector<NodeView> views_;
  std::vector<Overlap> overlaps_;
  std::uint64_t samples_ = 0;
  Instant first_;
  Instant last_;
  Duration largest_gap_{};
};

int write_result(const json& result, const char* file) {
  std::FILE* into = std::fopen(file, "we");
  if (into == nullptr) {
    std::fprintf(stderr, "hapair-demo-watcher: %s\n", hapair::errno_text(file).c_str());
    return 1;
  }
  std::fputs((result.dump(2) + "\n").c_str(), into);
  return std::fclose(into) == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fputs("usage: hapair-demo-watcher SPEC [RESULT]\n", stderr);
    return 2;
  }
  auto spec = load_watch_spec(argv[1]);
  if (!spec) {
    std::fprintf(stderr, "hapair-demo-watcher: %s\n", spec.error().c_str());
    return 1;
  }
  std::signal(SIGTERM, on_signal);
  std::signal(SIGINT, on_signal);
  // A sampler that is crowded out sees nothing; where real-time priority is not allowed the largest gap tells.
  const sched_param priority{.sched_priority = 1};
  ::sched_setscheduler(0, SCHED_FIFO, &priority);

  const Duration interval = spec->interval;
  Watch watch(std::move(*spec));
  const hapair::SystemClock clock;
  Instant next = clock.now();
  while (stop_asked == 0) {
    watch.sample();
    next = std::max(next + interval, clock.now());
    const auto wait = std::chrono::duration_cast<std::chrono::nanoseconds>(next - clock.now()).count();
    const timespec pause{.tv_sec = 0, .tv_nsec = std::max<long>(wait, 0)};
    ::ppoll(nullptr, 0, &pause, nullptr);
  }
  return argc == 3 ? write_result(watch.result(), argv[2]) : 0;
}
