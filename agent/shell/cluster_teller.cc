#include "agent/shell/cluster_teller.h"

#include <utility>

#include "agent/shell/printable.h"

namespace hapair::agent {
namespace {

std::string objection(const ProcessResult& result) {
  std::string words = printable_line(last_line(result.err));
  if (words.empty()) words = printable_line(last_line(result.out));
  switch (result.end) {
    case ProcessResult::End::exited:
      return words.empty() ? "stonith_admin answered exit code " + std::to_string(result.code) : words;
    case ProcessResult::End::signalled:
      return "stonith_admin was ended by " + signal_name(result.code);
    case ProcessResult::End::timed_out:
    case ProcessResult::End::could_not_start:
      return result.reason;
  }
  return words;
}

}  // namespace

ClusterTeller::ClusterTeller(ProcessRunner& runner, const PacemakerConfig& config, const NodeName& partner, Done done)
    : runner_(&runner),
      config_(&config),
      node_(config.partner_node.empty() ? partner.text() : config.partner_node),
      done_(std::move(done)) {}

void ClusterTeller::tell(bool down) {
  ProcessSpec spec{.argv = {config_->stonith_admin, down ? "--confirm" : "--reboot", node_},
                   .environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"},
                   .input = "",
                   .timeout = config_->timeout,
                   .what = "telling the cluster"};
  running_ = runner_->run(std::move(spec), [this, down](const ProcessResult& result) { answered(down, result); });
}

void ClusterTeller::answered(bool down, const ProcessResult& result) {
  const auto ended = std::move(running_);  // lives until its callback, this one, is over
  const bool done = result.end == ProcessResult::End::exited && result.code == 0;
  done_(ClusterTold{.down = down, .done = done, .said = done ? "" : objection(result), .took = result.took});
}

}  // namespace hapair::agent
