#include "agent/shell/vetoes.h"

#include <utility>

#include "agent/shell/printable.h"
#include "agent/shell/process_table.h"
#include "ccm/base/check.h"

namespace hapair::agent {
namespace {

// Why it is a veto; empty where it is none.
std::string objection(const ProcessResult& result) {
  const bool none = result.end == ProcessResult::End::exited && result.code == 0;
  return none ? "" : objection_of(result, "it");
}

}  // namespace

Vetoes::Vetoes(sd_event* loop, ProcessRunner& runner, const std::vector<PoolConfig>& pools, const NodeName& node,
               const NodeName& partner, Done done)
    : loop_(loop), runner_(&runner), pools_(&pools), node_(&node), partner_(&partner), done_(std::move(done)) {}

void Vetoes::ask(PoolIndex pool) {
  HAPAIR_CHECK(!rounds_.contains(pool) && !(*pools_)[pool].vetoes.empty(), "one question at a time");
  rounds_[pool] = {};
  run_next(pool);
  if (!rounds_.at(pool).running) soon_ = call_soon(loop_, on_soon, this);
}

// Of each pool whose programs all hang still.
int Vetoes::on_soon(sd_event_source*, void* context) {
  auto* self = static_cast<Vetoes*>(context);
  self->soon_.reset();
  std::vector<PoolIndex> over;
  for (const auto& [pool, round] : self->rounds_) {
    if (!round.running) over.push_back(pool);
  }
  for (const PoolIndex pool : over) self->finish(pool);
  return 0;
}

void Vetoes::finish(PoolIndex pool) {
  std::vector<std::string> said = std::move(rounds_.at(pool).said);
  rounds_.erase(pool);
  done_(pool, std::move(said));
}

// One that hangs in the kernel is not run a second time beside itself.
bool Vetoes::hangs(const std::string& program) {
  const auto group = left_behind_.find(program);
  if (group == left_behind_.end()) return false;
  if (group_lives(group->second)) return true;
  left_behind_.erase(group);
  return false;
}

void Vetoes::run_next(PoolIndex pool) {
  Round& round = rounds_.at(pool);
  const auto& vetoes = (*pools_)[pool].vetoes;
  while (round.next < vetoes.size() && hangs(vetoes[round.next].program.front())) {
    round.said.push_back(vetoes[round.next].name + " says: it still hangs in the kernel since it was asked last");
    ++round.next;
  }
  if (round.next == vetoes.size()) return;
  const PoolConfig& config = (*pools_)[pool];
  const VetoConfig& veto = config.vetoes[round.next];
  ProcessSpec spec{.argv = veto.program,
                   .environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C",
                                   "HAPAIR_POOL=" + config.name.text(), "HAPAIR_NODE=" + node_->text(),
                                   "HAPAIR_PARTNER=" + partner_->text()},
                   .input = "",
                   .timeout = veto.timeout,
                   .what = config.name.text() + " veto " + veto.name};
  round.running = runner_->run(std::move(spec), [this, pool](const ProcessResult& result) { answered(pool, result); });
}

void Vetoes::answered(PoolIndex pool, const ProcessResult& result) {
  Round& round = rounds_.at(pool);
  const auto ended = std::move(round.running);  // lives until its callback, this one, is over
  const auto& vetoes = (*pools_)[pool].vetoes;
  if (result.left_behind != 0) left_behind_[vetoes[round.next].program.front()] = result.left_behind;
  if (const std::string why = objection(result); !why.empty()) {
    round.said.push_back(vetoes[round.next].name + " says: " + why);
  }
  ++round.next;
  run_next(pool);
  if (!round.running) finish(pool);
}

}  // namespace hapair::agent
