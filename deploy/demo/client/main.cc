// hapair-demo-client: an iSCSI initiator that knows what it was promised.
//   load    writes numbered blocks until SIGTERM or SIGINT, then reads everything back
//   verify  only reads back what a ledger demands
// Standard output: one JSON object a line. Exit status: 0 nothing lost, 1 something lost or not verifiable, 2 usage.
#include <sys/random.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "ccm/base/fd.h"
#include "deploy/demo/client/ledger.h"
#include "deploy/demo/client/load.h"
#include "deploy/demo/client/verify.h"

namespace {

using hapair::Duration;
using hapair::ms_of;
using hapair::ns_of;
using hapair::demo::LoadResult;
using hapair::demo::Target;
using hapair::demo::Verification;
using nlohmann::json;

volatile std::sig_atomic_t stop_asked = 0;
void on_signal(int) { stop_asked = 1; }

constexpr Duration kDrain = std::chrono::seconds(5);
constexpr Duration kVerifyPatience = std::chrono::seconds(20);

void say(const std::string& line) {
  std::fputs((line + "\n").c_str(), stdout);
  std::fflush(stdout);
}

json verification_of(const std::expected<Verification, std::string>& verified) {
  if (!verified) return {{"verified", false}, {"why_not_verified", verified.error()}};
  json lost = json::array();
  for (const auto& write : verified->lost) {
    lost.push_back({{"slot", write.slot}, {"acknowledged", write.acknowledged}, {"found", write.found}});
  }
  return {{"verified", true},
          {"slots_checked", verified->slots_checked},
          {"writes_lost", verified->lost_count},
          {"lost", std::move(lost)}};
}

double quantile_ms(std::vector<std::uint32_t> sorted_us, double q) {
  if (sorted_us.empty()) return 0;
  std::ranges::sort(sorted_us);
  return sorted_us[static_cast<std::size_t>(q * static_cast<double>(sorted_us.size() - 1))] / 1000.0;
}

json result_of(const std::string& pool, const LoadResult& load) {
  json outages = json::array();
  for (const auto& outage : load.outages) {
    outages.push_back(
        {{"from_ns", ns_of(outage.from)}, {"to_ns", ns_of(outage.to)}, {"ms", ms_of(outage.to - outage.from)}});
  }
  return {
      {"event", "result"},
      {"pool", pool},
      {"run", load.run},
      {"writes_issued", load.issued},
      {"writes_acknowledged", load.acknowledged},
      {"dials", load.dials},
      {"sessions", load.sessions},
      {"latency_ms", {{"median", quantile_ms(load.latencies_us, 0.5)}, {"p99", quantile_ms(load.latencies_us, 0.99)}}},
      {"outages", std::move(outages)}};
}

int report(json result, const std::expected<Verification, std::string>& verified) {
  result.update(verification_of(verified));
  say(result.dump());
  return verified && verified->lost_count == 0 ? 0 : 1;
}

int fail(const std::string& why) {
  std::fprintf(stderr, "hapair-demo-client: %s\n", why.c_str());
  return 1;
}

int run_load(const hapair::demo::LoadPlan& plan, const std::string& result_file) {
  std::uint64_t run = 0;
  if (::getrandom(&run, sizeof(run), 0) != static_cast<ssize_t>(sizeof(run))) return fail("no random number");
  run >>= 1U;  // readable by every JSON reader
  auto ledger = hapair::demo::Ledger::create(
      plan.ledger_file,
      {.magic = 0, .run = run, .slots = plan.slots, .pool = hapair::demo::pool_number(plan.pool), .zero = 0});
  if (!ledger) return fail(ledger.error());
  hapair::demo::Load load(plan, run, std::move(*ledger), say);
  if (const auto ended = load.run([] { return stop_asked != 0; }, kDrain); !ended) return fail(ended.error());
  // What counts is the ledger as it stands on the disk, not what this process remembers.
  const auto demands = hapair::demo::read_ledger(plan.ledger_file);
  if (!demands) return fail(demands.error());
  const auto verified = hapair::demo::verify(plan.target, *demands, kVerifyPatience);
  json result = result_of(plan.pool, load.result());
  const int status = report(result, verified);
  if (!result_file.empty()) {
    result.update(verification_of(verified));
    if (std::FILE* file = std::fopen(result_file.c_str(), "we"); file != nullptr) {
      std::fputs(result.dump(2).c_str(), file);
      std::fclose(file);
    } else {
      return fail(hapair::errno_text(result_file));
    }
  }
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("writes numbered blocks to an iSCSI LUN and proves that every acknowledged one is there");
  app.require_subcommand(1);
  hapair::demo::LoadPlan plan;
  plan.target.initiator = "iqn.2026-01.org.hapair.demo:client";
  std::string result_file;
  const auto common = [&](CLI::App* command) {
    command->add_option("--portal", plan.target.portal, "ADDRESS:PORT of the target")->required();
    command->add_option("--target", plan.target.name, "the target's IQN")->required();
    command->add_option("--lun", plan.target.lun, "number of the LUN")->capture_default_str();
    command->add_option("--ledger", plan.ledger_file, "file of acknowledged writes")->required();
  };
  CLI::App* load = app.add_subcommand("load", "write until SIGTERM, then read everything back");
  common(load);
  load->add_option("--pool", plan.pool, "name of the pool, part of every block")->required();
  load->add_option("--slots", plan.slots, "blocks of 4096 bytes to write to, in turn")
      ->required()
      ->check(CLI::Range(1, 1 << 28));
  load->add_option("--rate", plan.writes_per_second, "writes a second")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  load->add_option("--depth", plan.depth, "writes under way at once")->capture_default_str()->check(CLI::Range(1, 64));
  load->add_flag("!--without-fua", plan.durable, "let the target acknowledge what is not on its disk yet");
  load->add_option("--result", result_file, "file for the result, as JSON");
  CLI::App* verify = app.add_subcommand("verify", "read back what a ledger demands");
  common(verify);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  std::signal(SIGTERM, on_signal);
  std::signal(SIGINT, on_signal);
  std::signal(SIGPIPE, SIG_IGN);
  if (load->parsed()) return run_load(plan, result_file);
  const auto demands = hapair::demo::read_ledger(plan.ledger_file);
  if (!demands) return fail(demands.error());
  return report({{"event", "result"}, {"run", demands->run}, {"writes_acknowledged", demands->acknowledged}},
                hapair::demo::verify(plan.target, *demands, kVerifyPatience));
}
