// mirror: a log that one node writes and its partner's memory holds, over a port of the CCM.
#include <CLI/CLI.hpp>

#include "ccm/client/examples/options.h"
#include "ccm/client/examples/record.h"

int main(int argc, char** argv) {
  using hapair::mirror::Options;
  Options options;
  int (*chosen)(const Options&) = nullptr;
  CLI::App app{"mirrors a log into the partner's memory, over a port of ccmd"};
  app.require_subcommand(1);
  app.add_flag("--json", options.json, "answer in JSON");
  const auto add = [&](const char* name, const char* what, int (*run)(const Options&)) {
    CLI::App* command = app.add_subcommand(name, what);
    command->callback([&chosen, run] { chosen = run; });
    command->add_option("--record-bytes", options.record_bytes, "of each record; the same on both sides")
        ->check(CLI::Range(std::size_t{4096}, std::size_t{1} << 24U))
        ->capture_default_str();
    return command;
  };
  const auto add_member = [&](CLI::App* command) {
    command->add_option("--socket", options.socket, "of this node's ccmd")->capture_default_str();
    command->add_option("--name", options.name, "of the client, the same on both sides")->capture_default_str();
    command->add_option("--slots", options.slots, "records in the ring; the same on both sides")
        ->check(CLI::Range(2, 4096))
        ->capture_default_str();
  };
  CLI::App* send = add("send", "write records; ends when all were taken by the receiver", hapair::mirror::run_sender);
  add_member(send);
  send->add_option("--records", options.records, "how many (default: until Ctrl-C)");
  send->add_option("--pause-ms", options.pause_ms, "between two records");
  send->add_flag("!--no-checksum", options.checksum, "without a CRC32C of the payload");
  send->add_option("--acknowledged", options.acknowledged,
                   "a file that says how far the mirror is, also after a crash");
  send->add_option("--patience-s", options.patience_s, "without a receiver")->capture_default_str();
  CLI::App* receive = add("receive", "take records; ends on Ctrl-C", hapair::mirror::run_receiver);
  add_member(receive);
  receive->add_option("--log", options.log, "a file that gets every record");
  receive->add_option(
      "--stall-limit-s", options.stall_limit_s,
      "a write to the log may take so long before the partner says storage-stalled of this node; without "
      "it no progress is told");
  CLI::App* verify =
      add("verify", "compare a receiver's log with what its sender had been told", hapair::mirror::verify_log);
  verify->add_option("--log", options.log, "of the receiver")->required();
  verify->add_option("--acknowledged", options.acknowledged, "of the sender")->required();
  CLI11_PARSE(app, argc, argv);
  return chosen(options);
}
