#include "agent/corosync/quorum_watch.h"

#include <fmt/core.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <span>
#include <utility>

#include "agent/corosync/corosync_configuration.h"
#include "agent/corosync/corosync_group.h"
#include "agent/corosync/corosync_votes.h"
#include "agent/corosync/ring_look.h"
#include "agent/shell/worker_thread.h"
#include "ccm/base/check.h"
#include "ccm/base/fd.h"

namespace hapair::agent {
namespace {

constexpr Duration kFirstBackoff = std::chrono::milliseconds(250);
constexpr Duration kLastBackoff = std::chrono::seconds(2);
constexpr Duration kSendAgain = std::chrono::milliseconds(50);
constexpr Duration kReadAgain = std::chrono::seconds(5);
constexpr Duration kEndPatience = std::chrono::milliseconds(500);
// A message that was handed to Corosync in the moment at which it began to form a ring is dropped.
constexpr Duration kLost = std::chrono::seconds(1);
// So long a call may wait before it is told; corosync_group.h.
constexpr Duration kHangs = std::chrono::seconds(2);
constexpr int kEventsARound = 500;

constexpr std::array<char, 8> kMagic{'h', 'a', 'p', 'a', 'i', 'r', 'L', '1'};
struct LookMessage {
  std::array<char, 8> magic = kMagic;
  std::uint64_t life = 0;
  std::uint64_t number = 0;
};
static_assert(sizeof(LookMessage) == 24);

void count_up(const Fd& event) {
  const std::uint64_t count = 1;
  // Only a counter at its end could refuse, and then whoever waits has been told already.
  [[maybe_unused]] const ssize_t n = ::write(event.get(), &count, sizeof count);
}
void count_down(const Fd& event) {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t n = ::read(event.get(), &count, sizeof count);
}

}  // namespace

// What the loop and the thread hand each other, and what only the thread uses.
struct QuorumWatch::Shared {
  QuorumWatchSettings settings;
  Fd wake;  // eventfds: from the loop to the thread
  Fd news;  // and back

  std::mutex mutex;  // guards what follows
  std::condition_variable ended_changed;
  bool asked = false;
  QuorumNews told;
  std::optional<Instant> calling_since;  // the thread waits for Corosync
  bool end = false;
  bool ended = false;

  // The thread's own.
  SystemClock clock;
  std::unique_ptr<CorosyncGroup> group;
  std::unique_ptr<CorosyncVotes> votes;
  QuorumConfiguration configuration;
  Instant read_again;
  RingLook ring{kLost};
  std::uint64_t standing = 0;  // QuorumLook::standing
  std::uint64_t losses = 0;    // of `votes`, that are in it
  // Of the look that is under way: what was found before its last message.
  std::optional<QuorumVotes> found;
  std::uint64_t found_standing = 0;
  std::expected<void, std::string> failed;
  Instant next_send;
  Duration backoff = kFirstBackoff;
  Instant next_join;

  void work();
  bool round();
  std::expected<void, std::string> connect();
  std::expected<void, std::string> go_on();
  std::expected<void, std::string> read_configuration();
  void message(FleetMember from, std::span<const std::byte> bytes);
  std::expected<void, std::string> count_losses();
  std::expected<void, std::string> ask_votes();
  std::expected<void, std::string> complete();
  std::expected<void, std::string> send();
  void lose(const std::string& why);
  void wait();
  void calling(bool begins);
};

void QuorumWatch::Shared::calling(bool begins) {
  const std::lock_guard lock(mutex);
  calling_since = begins ? std::optional(clock.now()) : std::nullopt;
}

std::expected<void, std::string> QuorumWatch::Shared::read_configuration() {
  if (clock.now() < read_again) return {};
  auto read = read_quorum_configuration();
  if (!read) return std::unexpected(read.error());
  configuration = std::move(*read);
  read_again = clock.now() + kReadAgain;
  return {};
}

std::expected<void, std::string> QuorumWatch::Shared::connect() {
  read_again = Instant();
  if (const auto read = read_configuration(); !read) return read;
  auto opened = CorosyncVotes::open();
  if (!opened) return std::unexpected(opened.error());
  votes = std::move(*opened);
  losses = 0;
  ++standing;
  auto joined = CorosyncGroup::join(
      settings.group + ".look." + settings.sides.self,
      {.members = [](std::span<const FleetMember>) {},
       .message = [this](FleetMember from, std::span<const std::byte> bytes) { message(from, bytes); },
       .ring =
           [this](RingId id, std::span<const std::uint32_t> members) {
             ++standing;
             ring.entered(id, {members.begin(), members.end()});
           }});
  if (!joined) return std::unexpected(joined.error());
  group = std::move(*joined);
  backoff = kFirstBackoff;
  const std::lock_guard lock(mutex);
  told.connected = true;
  told.trouble.clear();
  count_up(news);
  return {};
}

// Nothing that was begun before counts any more, nor what this node held all the while.
void QuorumWatch::Shared::lose(const std::string& why) {
  const Instant now = clock.now();
  calling(true);
  group.reset();
  votes.reset();
  calling(false);
  ring.disconnected();
  found.reset();
  failed = {};
  ++standing;
  next_join = now + backoff;
  backoff = std::min(2 * backoff, kLastBackoff);
  const std::lock_guard lock(mutex);
  told.connected = false;
  told.trouble = why;
  told.text.clear();
  count_up(news);
}

// Called from dispatch().
void QuorumWatch::Shared::message(FleetMember from, std::span<const std::byte> bytes) {
  LookMessage message;
  if (from != group->self() || bytes.size() != sizeof message || !failed) return;
  std::memcpy(&message, bytes.data(), sizeof message);
  if (message.magic != kMagic || message.life != settings.life) return;
  switch (ring.came(message.number)) {
    case RingLook::Came::nothing:
      return;
    case RingLook::Came::second:
      failed = ask_votes();
      return;
    case RingLook::Came::third:
      failed = complete();
      return;
  }
}

std::expected<void, std::string> QuorumWatch::Shared::count_losses() {
  if (const auto done = votes->dispatch(); !done) return done;
  if (std::exchange(losses, votes->losses()) != losses) ++standing;
  return {};
}

std::expected<void, std::string> QuorumWatch::Shared::ask_votes() {
  if (const auto done = count_losses(); !done) return done;
  auto asked_now = votes->votes();
  if (!asked_now) return std::unexpected(asked_now.error());
  // It was changed since it was read.
  if (asked_now->total > configured_votes(configuration, *asked_now)) {
    read_again = Instant();
    if (const auto read = read_configuration(); !read) return read;
  }
  found = *asked_now;
  found_standing = standing;
  return {};
}

std::expected<void, std::string> QuorumWatch::Shared::complete() {
  if (const auto done = count_losses(); !done) return done;
  if (!found || found_standing != standing) {
    ring.restart();  // it was lost, or another ring, since votequorum was asked
    return {};
  }
  const QuorumVotes counted = *std::exchange(found, std::nullopt);
  const std::string problem = no_leases_on(configuration, counted, settings.sides);
  const auto partner = node_id_of(configuration, settings.sides.partner);
  const std::string name = fmt::format("{:x}.{:x}", ring.ring().node, ring.ring().sequence);
  const std::lock_guard lock(mutex);
  told.look = QuorumLook{.began = ring.began(),
                         .quorate = counted.quorate && problem.empty(),
                         .partner_member = partner && ring.has_member(*partner),
                         .standing = standing,
                         .slack = vote_slack(configuration, counted),
                         .ring = name};
  told.digest = problem.empty() ? quorum_digest(what_decides(configuration, settings.sides)) : 0;
  told.problem = problem;
  told.trouble = quorum_trouble(configuration, counted);
  told.text = votes_text(configuration, counted) + ", in ring " + name;
  // Where the loop is late, the next look is to say so too.
  if (!told.look->quorate) ++standing;
  count_up(news);
  return {};
}

std::expected<void, std::string> QuorumWatch::Shared::send() {
  const Instant now = clock.now();
  ring.tick(now);
  const auto number = ring.to_send();
  if (!number || now < next_send) return {};
  const LookMessage message{.life = settings.life, .number = *number};
  ring.sending(now);
  const auto went = group->send(std::as_bytes(std::span(&message, 1)));
  if (!went) return std::unexpected(went.error());
  if (!*went) {
    ring.refused();
    next_send = now + kSendAgain;
  }
  return {};
}

std::expected<void, std::string> QuorumWatch::Shared::go_on() {
  {
    const std::lock_guard lock(mutex);
    if (std::exchange(asked, false)) ring.begin();
  }
  if (const auto done = group->dispatch(kEventsARound); !done) return done;
  if (!failed) return failed;
  if (const auto done = count_losses(); !done) return done;
  if (const auto done = read_configuration(); !done) return done;
  return send();
}

// Until there is something to do, or it is time.
void QuorumWatch::Shared::wait() {
  const Instant now = clock.now();
  Instant until = group ? read_again : next_join;
  if (group && ring.to_send()) until = std::max(next_send, now);
  if (const auto ends = ring.patience_ends(); group && ends) until = std::min(until, *ends);
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now).count();
  const int timeout = static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
  std::array<pollfd, 3> fds{
      {{wake.get(), POLLIN, 0}, {group ? group->fd() : -1, POLLIN, 0}, {group ? votes->fd() : -1, POLLIN, 0}}};
  [[maybe_unused]] const int ready = ::poll(fds.data(), fds.size(), timeout);
  count_down(wake);
}

// False: it is to end.
bool QuorumWatch::Shared::round() {
  {
    const std::lock_guard lock(mutex);
    if (end) return false;
  }
  std::expected<void, std::string> done;
  if (group || clock.now() >= next_join) {
    calling(true);
    if (!group) done = connect();
    if (done) done = go_on();
    calling(false);
  }
  if (!done) lose(done.error());
  wait();
  return true;
}

void QuorumWatch::Shared::work() {
  while (round()) {
  }
  group.reset();
  votes.reset();
  const std::lock_guard lock(mutex);
  ended = true;
  ended_changed.notify_all();
}

bool QuorumWatch::is_built() { return true; }

QuorumWatch::QuorumWatch(const QuorumWatchSettings& settings) : shared_(std::make_shared<Shared>()) {
  shared_->settings = settings;
  shared_->wake = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  shared_->news = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  HAPAIR_CHECK(shared_->wake.valid() && shared_->news.valid(), "eventfds at the start of the agent");
  shared_->told.trouble = "Corosync has not been asked yet";
  start_worker([shared = shared_] { shared->work(); }).detach();
}

QuorumWatch::~QuorumWatch() {
  std::unique_lock lock(shared_->mutex);
  shared_->end = true;
  count_up(shared_->wake);
  shared_->ended_changed.wait_for(lock, kEndPatience, [this] { return shared_->ended; });
}

void QuorumWatch::look() {
  const std::lock_guard lock(shared_->mutex);
  shared_->asked = true;
  count_up(shared_->wake);
}

int QuorumWatch::fd() const { return shared_->news.get(); }

QuorumNews QuorumWatch::take(Instant now) {
  const std::lock_guard lock(shared_->mutex);
  count_down(shared_->news);
  QuorumNews taken = shared_->told;
  shared_->told.look.reset();
  if (shared_->calling_since && now - *shared_->calling_since > kHangs) taken.trouble = "Corosync does not answer";
  return taken;
}

std::expected<QuorumPreview, std::string> preview_quorum(const QuorumSides& sides, Duration patience) {
  struct Answer {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<std::expected<QuorumPreview, std::string>> found;
  };
  auto answer = std::make_shared<Answer>();
  start_worker([answer, sides] {
    const auto find = [&sides]() -> std::expected<QuorumPreview, std::string> {
      const auto configuration = read_quorum_configuration();
      if (!configuration) return std::unexpected(configuration.error());
      const auto open = CorosyncVotes::open();
      if (!open) return std::unexpected(open.error());
      const auto votes = (*open)->votes();
      if (!votes) return std::unexpected(votes.error());
      return QuorumPreview{.problem = no_leases_on(*configuration, *votes, sides),
                           .trouble = quorum_trouble(*configuration, *votes),
                           .text = votes_text(*configuration, *votes),
                           .slack = vote_slack(*configuration, *votes)};
    };
    auto found = find();
    const std::lock_guard lock(answer->mutex);
    answer->found = std::move(found);
    answer->changed.notify_all();
  }).detach();
  std::unique_lock lock(answer->mutex);
  if (!answer->changed.wait_for(lock, patience, [&] { return answer->found.has_value(); })) {
    return std::unexpected("Corosync does not answer");
  }
  return *answer->found;
}

}  // namespace hapair::agent
