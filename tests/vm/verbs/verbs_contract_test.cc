// The fabric contract over real verbs: this end in one machine of the lab, verbs_partner in the other. tests/vm/run
// contract starts both.
#include "tests/vm/verbs/verbs_rig.h"

namespace hapair::ccm {
namespace {

std::unique_ptr<FabricRig> make_verbs_rig() { return std::make_unique<VerbsRig>(); }
INSTANTIATE_TEST_SUITE_P(Verbs, FabricContract, ::testing::Values(&make_verbs_rig));

}  // namespace
}  // namespace hapair::ccm
