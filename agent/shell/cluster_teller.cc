#include "agent/shell/cluster_teller.h"

#include <utility>

namespace hapair::agent {

ClusterTeller::ClusterTeller(const MembershipLook::Parts& parts, const NodeName& partner, Done done,
                             MembershipLook::Trouble trouble)
    : runner_(parts.runner),
      config_(parts.config),
      node_(config_->partner_node.empty() ? partner.text() : config_->partner_node),
      done_(std::move(done)),
      look_(parts, [this](const std::string& said, Duration took) { looked(said, took); }, std::move(trouble)) {}

void ClusterTeller::take_up() {
  look_.take_up();  // also where it looks no more: a life before this one may have
}

void ClusterTeller::tell(ClusterWord word) {
  running_.reset();
  if (!config_->look_at_once) return say(word);
  word_ = word;
  look_.look();
}

void ClusterTeller::looked(const std::string& said, Duration took) {
  const std::optional<ClusterWord> word = std::exchange(word_, std::nullopt);
  done_(ClusterTold{.word = ClusterWord::look, .done = said.empty(), .said = said, .took = took});
  if (word && !word_) say(*word);  // else the answer led to a later word
}

void ClusterTeller::say(ClusterWord word) {
  if (word == ClusterWord::look) return;
  ProcessSpec spec{.argv = {config_->stonith_admin, word == ClusterWord::down ? "--confirm" : "--reboot", node_},
                   .environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"},
                   .input = "",
                   .timeout = config_->timeout,
                   .what = "telling the cluster"};
  running_ = runner_->run(std::move(spec), [this, word](const ProcessResult& result) { answered(word, result); });
}

void ClusterTeller::answered(ClusterWord word, const ProcessResult& result) {
  const auto ended = std::move(running_);  // lives until its callback, this one, is over
  const bool done = result.end == ProcessResult::End::exited && result.code == 0;
  done_(ClusterTold{
      .word = word, .done = done, .said = done ? "" : objection_of(result, "stonith_admin"), .took = result.took});
}

}  // namespace hapair::agent
