// hapair: the command line. This file reads the arguments; agent/cli/commands.h is what they do.
#include <CLI/CLI.hpp>
#include <csignal>
#include <functional>
#include <string>
#include <vector>

#include "agent/cli/cluster_commands.h"
#include "agent/cli/commands.h"
#include "agent/cli/mailbox_commands.h"
#include "ccm/config/document.h"

namespace {

using hapair::cli::ClusterOptions;
using hapair::cli::Common;
using hapair::cli::EventsOptions;
using hapair::cli::Exit;
using hapair::cli::InhibitOptions;
using hapair::cli::MoveOptions;

struct Arguments {
  Common common;
  EventsOptions events;
  InhibitOptions inhibit;
  std::string partner;
  MoveOptions move;
  std::uint64_t decision = 0;
  bool yes = false;
  std::string phase;
  std::string file;
  std::string device;
  std::vector<std::string> devices;
  bool overwrite = false;
  ClusterOptions cluster{.pool = {}, .timeout_s = 60};
  std::string node;
  std::function<Exit()> chosen;
};

CLI::App* add_command(CLI::App& app, Arguments& arguments, const char* name, const char* what,
                      std::function<Exit()> run) {
  CLI::App* command = app.add_subcommand(name, what);
  command->add_flag("--json", arguments.common.json, "answer in JSON");
  command->callback([&arguments, run = std::move(run)] { arguments.chosen = run; });
  return command;
}

void add_looking(CLI::App& app, Arguments& a) {
  add_command(app, a, "status", "how this node, its partner and their pools stand",
              [&a] { return show_status(a.common); });
  add_command(app, a, "rails", "each interconnect: its state, round-trip times and errors",
              [&a] { return show_rails(a.common); });
  add_command(app, a, "fleet", "every pair of the Corosync group (corosync.fleet), as its nodes tell",
              [&a] { return show_fleet(a.common); });
  CLI::App* why =
      add_command(app, a, "why", "a decision as a timeline: what was observed, what was done, how long it took",
                  [&a] { return show_why(a.common, a.decision); });
  why->add_option("decision", a.decision, "its number (default: the last one that mattered)");
  CLI::App* events =
      add_command(app, a, "events", "the node's records, one a line", [&a] { return show_events(a.common, a.events); });
  events->add_flag("--follow,-f", a.events.follow, "go on with what comes");
  events->add_option("--last", a.events.last, "at most so many, the newest (default: 50)");
  events->add_option("--since", a.events.since, "not older than 30s, 10m, 2h, 1d");
  events->add_option("--decision", a.events.decision, "of this decision");
  events->add_option("--pool", a.events.pool, "about this pool");
}

void add_inhibiting(CLI::App& app, Arguments& a) {
  const auto with_reason = [&a](CLI::App* command) {
    command->add_option("--reason", a.inhibit.reason, "for whoever finds it in force");
    command->add_option("--for", a.inhibit.length, "how long: 30m, 2h, 1d (default: until it is ended)");
  };
  CLI::App* maintenance = app.add_subcommand("maintenance", "leave everything as it is, on both nodes");
  maintenance->require_subcommand(1);
  with_reason(add_command(*maintenance, a, "on", "this node does nothing by itself, and its partner leaves it alone",
                          [&a] { return inhibit(a.common, {"maintenance", a.inhibit.reason, a.inhibit.length}); }));
  add_command(*maintenance, a, "off", "it is watched and acted for again",
              [&a] { return allow(a.common, "maintenance"); });
  const auto what = [&a](CLI::App* command) {
    command->add_option("what", a.inhibit.what, "takeover or giveback")
        ->required()
        ->check(CLI::IsMember({"takeover", "giveback"}));
  };
  CLI::App* disable = add_command(app, a, "disable", "this node takes nothing over, or gives nothing back, by itself",
                                  [&a] { return inhibit(a.common, a.inhibit); });
  what(disable);
  with_reason(disable);
  what(add_command(app, a, "enable", "it does so again", [&a] { return allow(a.common, a.inhibit.what); }));
}

void add_acting(CLI::App& app, Arguments& a) {
  CLI::App* takeover =
      add_command(app, a, "takeover", "serve pools on this node", [&a] { return take_over(a.common, a.move); });
  takeover->add_option("pools", a.move.pools, "which (default: every pool that is not served here)");
  takeover->add_flag("--force", a.move.force, "by a fence of the partner, though it may be well");
  takeover->add_flag("--ignore-vetoes", a.move.ignore_vetoes,
                     "whatever the partner's veto programs say; it is recorded");
  takeover->add_flag("--wait", a.move.wait, "until it has ended; fails where it did not succeed");
  CLI::App* giveback =
      add_command(app, a, "giveback", "give pools back to the partner", [&a] { return give_back(a.common, a.move); });
  giveback->add_option("pools", a.move.pools, "which (default: every pool of the partner that is served here)");
  giveback->add_flag("--ignore-vetoes,--force", a.move.ignore_vetoes,
                     "whatever the pool's veto programs say; it is recorded");
  giveback->add_flag("--wait", a.move.wait, "until it has ended; fails where it did not succeed");
  CLI::App* confirm =
      add_command(app, a, "confirm-down", "say that the partner is down: its pools are taken without a fence",
                  [&a] { return confirm_down(a.common, a.partner, a.move.wait); });
  confirm->add_option("partner", a.partner, "its name, after its power was seen to be off")->required();
  confirm->add_flag("--wait", a.move.wait, "until it has ended; fails where it did not succeed");
  add_inhibiting(app, a);
  CLI::App* reset = add_command(app, a, "reset-state", "discard an ownership record that cannot be read",
                                [&a] { return reset_state(a.common, a.yes); });
  reset->add_flag("--yes", a.yes, "it is certain which node serves the pools");
  CLI::App* phase = add_command(app, a, "phase", "tell the CCM where the node stands on its way up or down",
                                [&a] { return set_phase(a.common, a.phase); });
  phase->add_option("phase", a.phase, "such as root or shutting-down")->required();
}

// Of `cluster`, for the fence agent.
void add_cluster_fencing(CLI::App& cluster, Arguments& a) {
  CLI::App* fence = add_command(cluster, a, "fence", "have the partner's node reset, and wait for its next life",
                                [&a] { return fence_partner(a.common, a.node, a.cluster.timeout_s); });
  fence->add_option("--node", a.node, "which: the partner is the only one that can be")->required();
  fence->add_option("--timeout-s", a.cluster.timeout_s, "how long it is waited for")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
  add_command(cluster, a, "power", "exit status of a fence agent's status: 0 the partner runs, 1 not known", [&a] {
    return partner_power(a.common, a.node);
  })->add_option("--node", a.node, "which (default: the partner)");
  add_command(cluster, a, "fence-list", "the node that can be fenced from here",
              [&a] { return list_partner(a.common); });
  add_command(cluster, a, "fence-monitor", "whether the partner could be told now",
              [&a] { return fence_monitor(a.common); });
}

void add_cluster(CLI::App& app, Arguments& a) {
  CLI::App* cluster =
      app.add_subcommand("cluster", "for Pacemaker's resource, fence and alert agents, where the arbiter is pacemaker");
  add_cluster_fencing(*cluster, a);
  cluster->require_subcommand(1);
  add_command(*cluster, a, "alert", "record what Pacemaker tells its alert agents, in CRM_alert_* of the environment",
              [&a] { return tell_alert(a.common); });
  const auto of_pool = [&a](CLI::App* command) {
    command->add_option("pool", a.cluster.pool, "which")->required();
    return command;
  };
  const auto in_time = [&a](CLI::App* command) {
    command->add_option("--timeout-s", a.cluster.timeout_s, "how long it is waited for")->capture_default_str();
  };
  CLI::App* promoted = of_pool(add_command(*cluster, a, "promote", "serve it here, as the cluster wants",
                                           [&a] { return promote(a.common, a.cluster); }));
  in_time(promoted);
  const auto above = [&a](CLI::App* command) {
    command->add_option("--above", a.cluster.above, "the highest epoch that the cluster keeps of it");
  };
  above(promoted);
  above(
      of_pool(add_command(*cluster, a, "epoch", "prints which epoch the cluster is to keep before it promotes it here",
                          [&a] { return epoch_to_keep(a.common, a.cluster); })));
  in_time(of_pool(add_command(*cluster, a, "demote", "stop it here, for the cluster to have it elsewhere",
                              [&a] { return demote(a.common, a.cluster); })));
  in_time(of_pool(add_command(*cluster, a, "monitor",
                              "exit status of an OCF agent's monitor: 8 promoted, 0 not promoted, ...",
                              [&a] { return cluster_monitor(a.common, a.cluster); })));
}

void add_mailbox(CLI::App& app, Arguments& a) {
  CLI::App* mailbox = app.add_subcommand("mailbox", "the disks of ccm.mailbox_disks");
  mailbox->require_subcommand(1);
  CLI::App* init = add_command(*mailbox, a, "init", "prepare one, once for both nodes",
                               [&a] { return init_mailbox(a.common, a.device, a.overwrite); });
  init->add_option("device", a.device, "as the configuration names it")->required();
  init->add_flag("--overwrite", a.overwrite, "also where its first 160 KiB hold something");
  CLI::App* show = add_command(*mailbox, a, "show", "whose each is, which node beats there, and who owns each pool",
                               [&a] { return show_mailboxes(a.common, a.devices); });
  show->add_option("devices", a.devices, "which (default: all of the configuration)");
  CLI::App* check = add_command(*mailbox, a, "check", "whether each can be used, and what is to be corrected",
                                [&a] { return check_mailboxes(a.common, a.devices); });
  check->add_option("devices", a.devices, "which (default: all of the configuration)");
}

void add_others(CLI::App& app, Arguments& a) {
  CLI::App* check = add_command(app, a, "check", "validate a configuration and its key", [&a] {
    return hapair::cli::check(a.common, a.file.empty() ? a.common.config : a.file);
  });
  check->add_option("file", a.file, "which (default: as --config)");
  add_mailbox(app, a);
  add_cluster(app, a);
  add_command(app, a, "version", "which release this is", [&a] { return show_version(a.common); });
}

// What was wrong with the arguments, in one line, and where to look.
std::string usage_sentence(const CLI::App* app, const CLI::Error& error) {
  const CLI::App* chosen = app;
  std::string name;
  while (!chosen->get_subcommands().empty()) {
    chosen = chosen->get_subcommands().front();
    name += chosen->get_name() + " ";
  }
  std::vector<std::string> known;
  for (const CLI::App* command : chosen->get_subcommands(nullptr)) known.push_back(command->get_name());
  const auto rest = app->remaining(true);
  std::string what = error.what();
  if (known.empty()) {
    // It takes no command: what CLI11 says of its arguments is a sentence.
  } else if (!rest.empty() && !rest.front().starts_with('-')) {
    const std::string nearest = hapair::ccm::nearest_word(rest.front(), known);
    what = "there is no command \"" + name + rest.front() + "\"";
    if (!nearest.empty()) what += "; did you mean \"" + name + nearest + "\"?";
  } else if (!rest.empty()) {
    what = "there is no option \"" + rest.front() + "\" before a command";
  } else {
    what = "which command? (" + (name.empty() ? "status" : name + "show") + " is a good first one)";
  }
  return "hapair: " + what + "\nSee: hapair " + name + "--help\n";
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_DFL);  // `hapair events | head` ends quietly
  CLI::App app{
      "hapair: see and steer a storage pair\n"
      "exit status: 0 done, 1 refused or failed, 2 usage, 3 the agent does not run, 78 configuration",
      "hapair"};
  Arguments arguments;
  app.add_option("--config", arguments.common.config, "the node's configuration")
      ->envname("HAPAIR_CONFIG")
      ->capture_default_str();
  app.add_option("--socket", arguments.common.socket,
                 "the agent's control socket (default: as the configuration says)");
  app.require_subcommand(1);
  app.failure_message(usage_sentence);
  app.fallthrough();
  add_looking(app, arguments);
  add_acting(app, arguments);
  add_others(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(Exit::usage);
  }
  return static_cast<int>(arguments.chosen());
}
