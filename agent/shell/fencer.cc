#include "agent/shell/fencer.h"

#include <cstring>
#include <optional>
#include <utility>

#include "agent/shell/printable.h"
#include "ccm/base/check.h"

namespace hapair::agent {
namespace {

// FenceAgentAPI, "Return codes".
constexpr int kSuccess = 0;
constexpr int kGenericError = 1;
constexpr int kStatusOff = 2;

std::string words_of(const ProcessResult& result) {
  std::string line = printable_line(last_line(result.err));
  if (line.empty()) line = printable_line(last_line(result.out));
  return line.empty() ? "" : ": " + line;
}

// How a call ended that gave no usable answer; nothing where it exited.
std::optional<std::string> without_answer(std::string_view action, const ProcessResult& result) {
  const std::string what = "\"" + std::string(action) + "\" ";
  switch (result.end) {
    case ProcessResult::End::exited:
      return std::nullopt;
    case ProcessResult::End::could_not_start:
      return result.reason;
    case ProcessResult::End::timed_out:
      return what + "gave no answer (" + result.reason + ")" + words_of(result);
    case ProcessResult::End::signalled:
      return what + "was ended by " + signal_name(result.code) + words_of(result);
  }
  return std::nullopt;
}

}  // namespace

std::string sentence_of(const FenceStep& step) {
  switch (step.kind) {
    case FenceStep::Kind::waiting:
      return step.device + ": waits its configured delay";
    case FenceStep::Kind::acting:
      return step.device + ": its agent runs";
    case FenceStep::Kind::checking:
      return step.device + ": reports success; it is asked for the status";
    case FenceStep::Kind::answered:
      break;
  }
  std::string text = step.device + ": answered ";
  text += text_of(step.result);
  text += " after " + std::to_string(step.took / std::chrono::milliseconds(1)) + " ms";
  return step.reason.empty() ? text : text + ": " + step.reason;
}

Fencer::Fencer(ProcessRunner& runner, sd_event* loop, const Clock& clock, const FencingConfig& config)
    : runner_(&runner), loop_(loop), clock_(&clock), config_(&config) {}

void Fencer::fence(const NodeName& target, OnStep on_step, Done done) {
  HAPAIR_CHECK(idle(), "one round of fencing at a time");
  round_ = std::make_unique<Round>();
  round_->target = target;
  round_->on_step = std::move(on_step);
  round_->done = std::move(done);
  round_->started_at = clock_->now();
  timer_ = call_soon(loop_, on_begin, this);
}

int Fencer::on_begin(sd_event_source*, void* context) {
  auto* self = static_cast<Fencer*>(context);
  self->timer_.reset();
  if (self->config_->devices.empty()) {
    self->round_->reasons = "no fencing device is configured";
    self->finish(FenceResult::failed);
  } else {
    self->begin_device();
  }
  return 0;
}

void Fencer::abandon() {
  timer_.reset();
  running_.reset();
  round_.reset();
}

void Fencer::begin_device() {
  round_->device_started_at = clock_->now();
  round_->last_device = device().name;
  if (device().delay == Duration::zero()) {
    act();
    return;
  }
  report_step(FenceStep::Kind::waiting);
  timer_ = call_at(loop_, round_->device_started_at + device().delay, on_timer, this);
}

int Fencer::on_timer(sd_event_source*, std::uint64_t, void* context) {
  auto* self = static_cast<Fencer*>(context);
  self->timer_.reset();
  self->act();
  return 0;
}

void Fencer::act() {
  report_step(FenceStep::Kind::acting);
  run_agent(text_of(device().action), &Fencer::acted);
}

void Fencer::run_agent(std::string_view action, void (Fencer::*next)(const ProcessResult&)) {
  ProcessSpec spec{.argv = {device().program},
                   .environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"},
                   .input = "action=" + std::string(action) + "\n",
                   .timeout = device().timeout,
                   .what = "fence by " + device().name + ": " + std::string(action)};
  spec.argv.insert(spec.argv.end(), device().arguments.begin(), device().arguments.end());
  for (const auto& [name, value] : device().options) {
    spec.input += name;
    spec.input += '=';
    spec.input += value;
    spec.input += '\n';
  }
  running_ = runner_->run(std::move(spec), [this, next](const ProcessResult& result) {
    const auto ended = std::move(running_);  // lives until its callback, this one, is over
    (this->*next)(result);
  });
}

void Fencer::acted(const ProcessResult& result) {
  const std::string_view action = text_of(device().action);
  if (const auto why = without_answer(action, result)) {
    const bool nothing_ran = result.end == ProcessResult::End::could_not_start;
    device_answered(nothing_ran ? FenceResult::failed : FenceResult::unknown, *why);
    return;
  }
  if (result.code != kSuccess) {
    const std::string sentence = "\"" + std::string(action) + "\" answered exit code " + std::to_string(result.code);
    device_answered(result.code == kGenericError ? FenceResult::failed : FenceResult::unknown,
                    sentence + words_of(result));
    return;
  }
  switch (device().action) {
    case FenceAction::reboot:
      device_answered(FenceResult::confirmed, "");
      return;
    case FenceAction::off:
      report_step(FenceStep::Kind::checking);
      run_agent("status", &Fencer::checked);
      return;
  }
}

void Fencer::checked(const ProcessResult& result) {
  if (const auto why = without_answer("status", result)) {
    device_answered(FenceResult::unknown, "\"off\" succeeded, but " + *why);
  } else if (result.code == kStatusOff) {
    device_answered(FenceResult::confirmed, "");
  } else if (result.code == kSuccess) {
    device_answered(FenceResult::failed, "\"off\" succeeded, but \"status\" says that " + round_->target.text() +
                                             " is still on; check the device's plug and wiring");
  } else {
    device_answered(FenceResult::unknown, "\"off\" succeeded, but \"status\" answered exit code " +
                                              std::to_string(result.code) + words_of(result));
  }
}

void Fencer::report_step(FenceStep::Kind kind) {
  if (round_->on_step) {
    round_->on_step({kind, device().name, FenceResult::unknown, "", Duration::zero()});
  }
}

void Fencer::device_answered(FenceResult result, const std::string& reason) {
  const std::string name = device().name;
  if (round_->on_step) {
    round_->on_step({FenceStep::Kind::answered, name, result, reason, clock_->now() - round_->device_started_at});
  }
  if (result == FenceResult::confirmed) {
    finish(FenceResult::confirmed);
    return;
  }
  round_->any_unknown = round_->any_unknown || result == FenceResult::unknown;
  if (!round_->reasons.empty()) round_->reasons += "; ";
  round_->reasons += name + ": " + reason;
  if (++round_->device < config_->devices.size()) {
    begin_device();
  } else {
    finish(round_->any_unknown ? FenceResult::unknown : FenceResult::failed);
  }
}

void Fencer::finish(FenceResult result) {
  const auto round = std::move(round_);
  round->done({.result = result,
               .device = round->last_device,
               .reason = result == FenceResult::confirmed ? "" : round->reasons,
               .took = clock_->now() - round->started_at});
}

}  // namespace hapair::agent
