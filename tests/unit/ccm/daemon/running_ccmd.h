// Real ccmd processes of a pair on fabric shm, in a folder of one test's own.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "ccm/base/ids.h"
#include "ccm/client/client.h"
#include "ccm/wire/status_page.h"
#include "tests/unit/ccm/eventually.h"
#include "tests/unit/ccm/temp_folder.h"

namespace hapair::ccm {

struct CcmdOptions {
  std::string pair = "pair";
  std::string node = "alpha";
  std::string partner = "beta";
  std::string key = "0123456789abcdef0123456789abcdef";
  std::string phase{};  // empty: none is passed
  std::string boot_id = "11111111-2222-3333-4444-555555555555";
  double pace_ms = 5;
  int rails = 1;             // of fabric shm, in the folders shm, shm1, ...
  std::string more_rails{};  // in JSON, each after a comma
  std::string more_ccm{};    // likewise, keys of the object "ccm"
  bool trace = false;
  int log_to = -1;  // an open descriptor instead of the file that log() reads
  bool adopt = false;
};

class RunningCcmd {
 public:
  RunningCcmd(const TempFolder& folder, CcmdOptions options);
  ~RunningCcmd();
  RunningCcmd(const RunningCcmd&) = delete;
  RunningCcmd& operator=(const RunningCcmd&) = delete;

  CcmdOptions options;  // what the next start() uses
  void start();
  // Runs ccmd to its end with the same configuration.
  int run_to_end(const std::string& arguments = "");
  void signal(int number) const;
  int wait();  // its exit status; minus the signal's number where one ended it
  void kill();
  // The daemon that an --early of this node left, where one runs.
  void end_early() const;
  [[nodiscard]] bool running();
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] std::string log() const;
  [[nodiscard]] std::string socket() const { return run_dir() + "/ccm.sock"; }
  [[nodiscard]] std::string run_dir() const;
  [[nodiscard]] std::string config_file() const;

  // The node's page as its partner reads it; nothing while it is none.
  [[nodiscard]] std::optional<StatusView> page() const;
  [[nodiscard]] HandshakeState handshake() const;
  [[nodiscard]] std::optional<ClientView> client(const std::string& name) const;
  // What it says of itself, asked as a client that only looks.
  [[nodiscard]] std::optional<CcmSelfLayout> self() const;

 private:
  void write_files() const;
  [[nodiscard]] std::string rails() const;

  const TempFolder* folder_;
  pid_t pid_ = -1;
  int starts_ = 0;
};

}  // namespace hapair::ccm
