// A fence is begun only by a claim that is on the asker's disk, never of a partner that is well and in touch, and its
// answer proves something only for that claim, and only while nothing that runs is seen of the partner.
#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "tests/scenario/checker.h"
#include "tests/scenario/world.h"

namespace hapair::world {
namespace {

using heartbeat::Verdict;

// By then whoever was not seen for a while is seen again, and a claim against it is withdrawn.
constexpr Duration kSeenAgain = seconds(1);

bool shows_it_running(Verdict verdict) {
  switch (verdict) {
    case Verdict::alive:
    case Verdict::storage_stalled:
    case Verdict::agent_hung:
    case Verdict::hung:
    case Verdict::ccm_restarted:
    case Verdict::leaving:
    case Verdict::interconnect_lost:
    case Verdict::unproven:
      return true;
    case Verdict::unknown:
    case Verdict::rebooted:
    case Verdict::panicked:
    case Verdict::ccm_gone:  // its host answers; that this one ever ran is not known
    case Verdict::unreachable:
      return false;
  }
  return false;
}

class Fences final : public Checker {
 public:
  void on_fence(World& world, NodeIndex asker) override {
    const agent::Engine* engine = world.engine(asker);
    if (engine == nullptr) return;
    for (agent::PoolIndex pool = 0; pool < world.pools(); ++pool) {
      fenced_for_[asker][pool] = claim_on_disk(world, asker, pool);
      if (engine->pool_report(pool).state != agent::PoolState::fencing || fenced_for_[asker][pool].value() != 0)
        continue;
      world.violation(fmt::format("{} fences its partner for {} and its claim is not on disk", world.name(asker),
                                  world.plan(pool).name.view()));
    }
    // An operator who forces it, or decides without seeing the partner, answers for that.
    if (world.forced(asker) || world.taken_blindly()) return;
    if (engine->assessment().verdict == Verdict::alive) {
      world.violation(fmt::format("{} fences its partner while it sees it alive", world.name(asker)));
    }
    if (in_touch_since_ && world.now() - *in_touch_since_ >= kSeenAgain) {
      world.violation(fmt::format("{} fences its partner, which is well and in touch for {:.0f} ms\n{}",
                                  world.name(asker), ms_of(world.now() - *in_touch_since_), world.describe()));
    }
  }

  void after_event(World& world) override {
    if (!world.in_touch()) {
      in_touch_since_.reset();
    } else if (!in_touch_since_) {
      in_touch_since_ = world.now();
    }
    // Whoever reads what was told may have taken it away.
    const std::vector<Told>& told = world.told();
    if (told.size() < read_) read_ = 0;
    for (; read_ < told.size(); ++read_) look_at(world, told[read_]);
  }

 private:
  static Epoch claim_on_disk(const World& world, NodeIndex node, agent::PoolIndex pool) {
    const auto& disk = world.relied_on(node);
    if (!disk) return {};
    const auto it = std::ranges::find(disk->pools, world.plan(pool).name, &agent::PoolDurable::pool);
    return it == disk->pools.end() ? Epoch() : it->claim;
  }

  static bool stopped_at_partner(const World& world, const Told& told) {
    for (agent::PoolIndex pool = 0; pool < world.pools(); ++pool) {
      if (world.plan(pool).name == told.record.pool && world.has_any(1 - told.node, pool)) return false;
    }
    return true;
  }

  void look_at(World& world, const Told& told) {
    const auto permit = std::ranges::find(told.record.fields, "permit", &std::pair<std::string, std::string>::first);
    const bool fenced =
        told.record.kind == "permit" && permit != told.record.fields.end() && permit->second == "fenced";
    const agent::Engine* engine = world.engine(told.node);
    if (!fenced || engine == nullptr || !engine->last_fence() || engine->last_fence()->by_operator) return;
    const std::string name = world.name(told.node);
    const bool by_partner = engine->last_fence()->by_partner;
    if (by_partner && !stopped_at_partner(world, told)) {
      world.violation(fmt::format("{} takes {} by poison while something of it runs on its partner", name,
                                  told.record.pool.view()));
    }
    if (!by_partner && shows_it_running(engine->assessment().verdict)) {
      world.violation(fmt::format("{} takes {} by a fence while it sees its partner {}", name, told.record.pool.view(),
                                  text_of(engine->assessment().verdict)));
    }
    for (agent::PoolIndex pool = 0; pool < world.pools(); ++pool) {
      if (world.plan(pool).name != told.record.pool || fenced_for_[told.node][pool].value() != 0) continue;
      world.violation(
          fmt::format("{} takes {} by a fence that began before its claim was on disk", name, told.record.pool.view()));
    }
  }

  std::array<std::array<Epoch, 2>, World::kNodes> fenced_for_{};  // the claims on disk when the last fence began
  std::optional<Instant> in_touch_since_;
  std::size_t read_ = 0;
};

}  // namespace

std::unique_ptr<Checker> fence_checker() { return std::make_unique<Fences>(); }

}  // namespace hapair::world
