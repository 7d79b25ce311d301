// What both processes of a node read from the one configuration file: who the pair is, where things are, and how the
// early channel runs. agent/config reads the rest of the same file.
#pragma once

#include <expected>
#include <string>

#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/config/document.h"
#include "ccm/wire/mac.h"

namespace hapair::ccm {

enum class FabricKind : std::uint8_t { shm };

struct PairConfig {
  PairName pair;
  NodeName node;  // this one
  NodeName partner;
  std::string key_file;      // at least 32 bytes; readable by its owner alone
  std::string run_dir;       // sockets, locks and the runtime phase; gone after a reboot
  std::string boot_id_file;  // /proc/sys/kernel/random/boot_id; of a namespace node, its own
  FabricKind fabric = FabricKind::shm;
  std::string shm_dir;            // of fabric shm: the folder that both nodes see
  Duration pace{};                // between two beats, and between two reads of the partner's page
  Duration operation_deadline{};  // after which the application gives the connection up

  [[nodiscard]] std::string ccm_socket() const { return run_dir + "/ccm.sock"; }
};

// Reads the keys of this layer; problems go to `root.problems()`. Does not call root.finish().
PairConfig read_pair_config(ConfigObject& root);

// The key file, checked: a regular file, no rights for group and others, at least 32 bytes. The error is a sentence
// that names the file, what was found and what is allowed.
std::expected<Key, std::string> load_key(const std::string& file);

// The boot id in `file`; the error is a sentence.
std::expected<BootId, std::string> load_boot_id(const std::string& file);

}  // namespace hapair::ccm
