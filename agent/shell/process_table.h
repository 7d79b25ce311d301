// The processes of this node as /proc shows them, for what has no descriptor: the rest of a group, what an earlier
// agent left.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hapair::agent {

struct ProcessEntry {
  int pid = 0;
  int group = 0;
};

// Those that live: a zombie runs nothing any more, whoever has yet to reap it.
std::vector<ProcessEntry> living_processes();

// Whether anything lives, or hangs, in the group. Of a group that is gone this costs one system call.
bool group_lives(int group);

// Whether the process was started with `setting` ("NAME=value") in its environment.
bool carries(int pid, std::string_view setting);

}  // namespace hapair::agent
