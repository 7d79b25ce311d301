// A planned move of a pool: whoever has something against it is asked first. What fails is moved without asking.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "agent/core/engine.h"

namespace hapair::agent {
namespace {

// What stands against a giveback by itself is asked for again no sooner.
constexpr Duration kAskAgain = std::chrono::seconds(10);

std::string joined(const std::vector<std::string>& said) {
  std::string text;
  for (const std::string& one : said) text += (text.empty() ? "" : "; ") + one;
  return text;
}

}  // namespace

// True where nobody is to be asked. Else the answer, a VetoDone, moves the pool or says why not.
bool Engine::vetted(PoolIndex index, PlannedMove move) {
  Pool& pool = pools_[index];
  if (plan(index).vetoes.empty()) return true;
  const bool asked = pool.move.has_value();
  // Whoever asks by hand is answered in place of what was to be done by itself.
  if (!asked || move.event == PoolEvent::operator_giveback || move.ignore_vetoes) pool.move = move;
  if (asked) return false;
  out_.commands.emplace_back(AskVetoes{index});
  return false;
}

void Engine::on(Instant now, const VetoDone& event) {
  if (event.pool >= pools_.size()) return;
  Pool& pool = pools_[event.pool];
  const std::optional<PlannedMove> move = std::exchange(pool.move, std::nullopt);
  if (!move) return;
  if (pool.state != PoolState::serving) {  // it was moved or stopped for another reason meanwhile
    if (move->event != PoolEvent::operator_giveback) return;
    record(now, Severity::warning, "vetoed", event.pool, move->decision,
           fmt::format("{}: not given back: it is {} now ({})", plan(event.pool).name.view(), text_of(pool.state),
                       pool.reason));
    return;
  }
  if (!event.said.empty() && !move->ignore_vetoes) return take_veto(now, event.pool, *move, joined(event.said));
  if (!event.said.empty()) {
    record(
        now, Severity::warning, "veto-overridden", event.pool, move->decision,
        fmt::format("{}: moved all the same, as was asked for: {}", plan(event.pool).name.view(), joined(event.said)));
  }
  pool.veto.clear();
  pool.veto_until.reset();
  // The world went on while they were asked.
  if (move->event == PoolEvent::operator_giveback) {
    if (const auto why = giveback_refusal(event.pool)) {
      record(now, Severity::warning, "vetoed", event.pool, move->decision, *why);
      return;
    }
  } else if (move->event == PoolEvent::giveback_due) {
    const auto due = giveback_at(event.pool);
    if (!due || now < *due) return;
    pool.givebacks.push_back(now);
  } else {
    const PartnerPool* partner = partner_pool(event.pool);
    if (partner == nullptr || !wants_pool(*partner) || !hears_partner()) return;
  }
  fire(now, event.pool, move->event, move->decision);
}

void Engine::take_veto(Instant now, PoolIndex index, const PlannedMove& move, const std::string& said) {
  Pool& pool = pools_[index];
  const bool told = move.event == PoolEvent::giveback_due && pool.veto == said;
  pool.veto = said;
  pool.reason = fmt::format("it is not given to {}: {}", config_.partner.view(), said);
  std::string to_do = fmt::format("hapair giveback {} --ignore-vetoes", plan(index).name.view());
  if (move.event == PoolEvent::giveback_due) {
    const Duration again = std::max(config_.policy.giveback_stable, kAskAgain);
    pool.veto_until = now + again;
    to_do = fmt::format("it is asked again every {:.0f} s; {} overrides it", ms_of(again) / 1000, to_do);
  } else if (move.event == PoolEvent::operator_giveback) {
    to_do += " overrides it";
  } else {
    pool.vetoes_request = true;
    to_do = fmt::format("on {}, hapair takeover {} --ignore-vetoes overrides it", config_.partner.view(),
                        plan(index).name.view());
  }
  if (told) return;
  record(now, Severity::warning, "vetoed", index, move.decision,
         fmt::format("{} is not given to {}: {}; {}", plan(index).name.view(), config_.partner.view(), said, to_do));
}

}  // namespace hapair::agent
