#include "agent/corosync/fleet.h"

#include <fmt/core.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "agent/corosync/corosync_group.h"
#include "agent/corosync/corosync_map.h"
#include "agent/corosync/monitor_keys.h"
#include "agent/shell/worker_thread.h"
#include "ccm/base/check.h"
#include "ccm/base/fd.h"

namespace hapair::agent {
namespace {

constexpr Duration kFirstBackoff = std::chrono::milliseconds(250);
constexpr Duration kLastBackoff = std::chrono::seconds(5);
constexpr Duration kSendAgain = std::chrono::milliseconds(100);
constexpr Duration kEndPatience = std::chrono::milliseconds(500);
constexpr int kEventsARound = 500;

}  // namespace

// What the loop and the thread hand each other, and what only the thread uses.
struct Fleet::Shared {
  std::string group_name;
  Fd wake;  // eventfd, from the loop to the thread

  std::mutex mutex;  // guards what follows
  std::condition_variable ended_changed;
  std::optional<FleetReport> report;
  Instant report_as_of;
  FleetView view;
  std::optional<Instant> calling_since;  // the thread waits for Corosync
  Instant shown_heard_self;              // heard_self, of `view`
  bool end = false;
  bool ended = false;

  // The thread's own.
  SystemClock clock;
  FleetTable table;
  std::unique_ptr<CorosyncGroup> group;
  std::unique_ptr<CorosyncMap> map;
  std::optional<FleetReport> sent;
  Instant next_send;
  Instant heard_self;      // this node's own message came back
  bool newcomers = false;  // who has just come knows nothing of this node
  Duration backoff = kFirstBackoff;
  Instant next_join;

  void work();
  bool round();
  std::expected<void, std::string> connect();
  std::expected<void, std::string> take_events();
  std::expected<void, std::string> send();
  void write_keys(const FleetReport& mine);
  void lose(const std::string& why);
  void wait();
  void leave();
  void begin_call();
  void end_call();
  void show();
};

void Fleet::Shared::begin_call() {
  const std::lock_guard lock(mutex);
  calling_since = clock.now();
}

void Fleet::Shared::end_call() {
  const std::lock_guard lock(mutex);
  calling_since.reset();
}

void Fleet::Shared::show() {
  const std::lock_guard lock(mutex);
  shown_heard_self = heard_self;
  view.members = table.member_count();
  view.refused = table.refused();
  view.rows = table.rows();
}

std::expected<void, std::string> Fleet::Shared::connect() {
  auto joined = CorosyncGroup::join(group_name, {.members =
                                                     [this](std::span<const FleetMember> members) {
                                                       newcomers = newcomers || members.size() > table.member_count();
                                                       table.members(clock.now(), members);
                                                     },
                                                 .message =
                                                     [this](FleetMember from, std::span<const std::byte> bytes) {
                                                       if (from == group->self()) heard_self = clock.now();
                                                       table.message(clock.now(), from, bytes);
                                                     }});
  if (!joined) return std::unexpected(joined.error());
  group = std::move(*joined);
  heard_self = clock.now();
  backoff = kFirstBackoff;
  sent.reset();
  const std::lock_guard lock(mutex);
  shown_heard_self = heard_self;
  view.connected = true;
  view.since = clock.now();
  view.problem.clear();
  return {};
}

// Whatever ended the connection: this node is in no group, so it sees nobody.
void Fleet::Shared::lose(const std::string& why) {
  const Instant now = clock.now();
  const bool was_connected = group != nullptr;
  begin_call();
  group.reset();
  map.reset();
  end_call();
  next_join = now + backoff;
  backoff = std::min(2 * backoff, kLastBackoff);
  table.members(now, {});
  const std::lock_guard lock(mutex);
  if (was_connected) view.since = now;
  view.connected = false;
  view.problem = why;
}

std::expected<void, std::string> Fleet::Shared::take_events() { return group->dispatch(kEventsARound); }

std::expected<void, std::string> Fleet::Shared::send() {
  FleetNews news;
  const Instant now = clock.now();
  {
    const std::lock_guard lock(mutex);
    if (!report) return {};
    news = {*report, now - report_as_of};
  }
  if (now < next_send && !newcomers && sent == news.report) return {};
  write_keys(news.report);
  const auto went = group->send(encode_fleet_message(news));
  if (!went) return std::unexpected(went.error());
  next_send = now + (*went ? kFleetPublishEvery : kSendAgain);
  if (*went) newcomers = false;
  sent = *went ? std::optional(std::move(news.report)) : std::nullopt;
  return {};
}

// Monitoring's keys are a matter of their own: without them the group goes on.
void Fleet::Shared::write_keys(const FleetReport& mine) {
  std::string problem;
  if (!map) {
    auto opened = CorosyncMap::open();
    if (opened) {
      map = std::move(*opened);
    } else {
      problem = opened.error();
    }
  }
  if (map) {
    const auto wrote = map->write(monitor_keys(mine));
    if (!wrote) {
      problem = wrote.error();
      map.reset();
    }
  }
  const std::lock_guard lock(mutex);
  view.keys_problem = problem;
}

void Fleet::Shared::leave() {
  begin_call();
  if (map) map->remove_all();
  map.reset();
  group.reset();
  end_call();
}

// Until there is something to do, or it is time.
void Fleet::Shared::wait() {
  const Instant until = group ? next_send : next_join;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock.now()).count();
  const int timeout = static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
  std::array<pollfd, 2> fds{{{wake.get(), POLLIN, 0}, {group ? group->fd() : -1, POLLIN, 0}}};
  [[maybe_unused]] const int ready = ::poll(fds.data(), fds.size(), timeout);
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t n = ::read(wake.get(), &count, sizeof count);
}

// False: it is to end.
bool Fleet::Shared::round() {
  {
    const std::lock_guard lock(mutex);
    if (end) return false;
  }
  table.tick(clock.now());
  std::expected<void, std::string> done;
  if (group || clock.now() >= next_join) {
    begin_call();
    if (!group) done = connect();
    if (done) done = take_events();
    if (done) done = send();
    end_call();
  }
  if (!done) lose(done.error());
  show();
  wait();
  return true;
}

void Fleet::Shared::work() {
  while (round()) {
  }
  leave();
  const std::lock_guard lock(mutex);
  ended = true;
  ended_changed.notify_all();
}

bool Fleet::is_built() { return true; }

Fleet::Fleet(const std::string& group) : shared_(std::make_shared<Shared>()) {
  shared_->group_name = group;
  shared_->wake = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  HAPAIR_CHECK(shared_->wake.valid(), "an eventfd at the start of the agent");
  shared_->view.since = shared_->clock.now();
  shared_->view.problem = "Corosync has not been asked yet";
  start_worker([shared = shared_] { shared->work(); }).detach();
}

Fleet::~Fleet() {
  std::unique_lock lock(shared_->mutex);
  shared_->end = true;
  const std::uint64_t count = 1;
  [[maybe_unused]] const ssize_t n = ::write(shared_->wake.get(), &count, sizeof count);
  shared_->ended_changed.wait_for(lock, kEndPatience, [this] { return shared_->ended; });
}

void Fleet::publish(FleetReport report, Instant now) {
  const std::lock_guard lock(shared_->mutex);
  shared_->report_as_of = now;
  if (shared_->report == report) return;
  shared_->report = std::move(report);
  const std::uint64_t count = 1;
  // Only a counter at its end could refuse, and then the thread has been told already.
  [[maybe_unused]] const ssize_t n = ::write(shared_->wake.get(), &count, sizeof count);
}

FleetView Fleet::view(Instant now) const {
  const std::lock_guard lock(shared_->mutex);
  FleetView view = shared_->view;
  const auto silent_since = [&](Instant since, const char* problem) {
    view.connected = false;
    view.since = since;
    view.problem = problem;
    for (FleetRow& row : view.rows) row.lost_since = row.lost_since.value_or(since);
  };
  if (shared_->calling_since && now - *shared_->calling_since > kCorosyncPatience) {
    silent_since(*shared_->calling_since, "Corosync does not answer");
  } else if (view.connected && now - shared_->shown_heard_self > kCorosyncPatience) {
    silent_since(shared_->shown_heard_self, "Corosync delivers no messages: it hangs, or forms a new ring");
  }
  return view;
}

}  // namespace hapair::agent
