#include "agent/shell/vetoes.h"

#include <cstring>
#include <utility>

#include "agent/shell/printable.h"
#include "ccm/base/check.h"

namespace hapair::agent {
namespace {

// Why it is a veto; empty where it is none.
std::string objection(const ProcessResult& result) {
  std::string words = printable_line(last_line(result.err));
  if (words.empty()) words = printable_line(last_line(result.out));
  switch (result.end) {
    case ProcessResult::End::exited:
      if (result.code == 0) return "";
      return words.empty() ? "it answered exit code " + std::to_string(result.code) : words;
    case ProcessResult::End::signalled:
      return std::string("it was ended by SIG") + ::sigabbrev_np(result.code);
    case ProcessResult::End::timed_out:
    case ProcessResult::End::could_not_start:
      return result.reason;
  }
  return words;
}

}  // namespace

Vetoes::Vetoes(ProcessRunner& runner, const std::vector<PoolConfig>& pools, const NodeName& node,
               const NodeName& partner, Done done)
    : runner_(&runner), pools_(&pools), node_(&node), partner_(&partner), done_(std::move(done)) {}

void Vetoes::ask(PoolIndex pool) {
  HAPAIR_CHECK(!rounds_.contains(pool) && !(*pools_)[pool].vetoes.empty(), "one question at a time");
  rounds_[pool] = {};
  run_next(pool);
}

void Vetoes::run_next(PoolIndex pool) {
  Round& round = rounds_.at(pool);
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
  if (const std::string why = objection(result); !why.empty()) {
    round.said.push_back(vetoes[round.next].name + " says: " + why);
  }
  if (++round.next < vetoes.size()) return run_next(pool);
  std::vector<std::string> said = std::move(round.said);
  rounds_.erase(pool);
  done_(pool, std::move(said));
}

}  // namespace hapair::agent
