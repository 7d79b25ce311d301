#include "ccm/config/document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "tests/unit/ccm/temp_folder.h"

namespace hapair::ccm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Reads `text` as the node's file with the getters of `read`; gives the problems.
std::vector<std::string> problems_of(const std::string& text, const std::function<void(ConfigObject&)>& read) {
  const auto document = nlohmann::json::parse(text);
  ConfigProblems problems("test.json");
  ConfigObject root(&document, "", problems);
  read(root);
  return problems.lines();
}

TEST(ConfigDocument, AMisspeltKeyIsNamedWithTheNearestKnownOne) {
  EXPECT_THAT(
      problems_of(R"({"pace_mss": 3})",
                  [](ConfigObject& root) {
                    root.milliseconds("pace_ms", 10, 1, 100);
                    root.finish();
                  }),
      ElementsAre(AllOf(HasSubstr("test.json: pace_mss: unknown key"), HasSubstr("did you mean \"pace_ms\"?"))));
}

TEST(ConfigDocument, AKeyFarFromAllKnownOnesGetsNoSuggestion) {
  EXPECT_THAT(problems_of(R"({"colour": 3})",
                          [](ConfigObject& root) {
                            root.milliseconds("pace_ms", 10, 1, 100);
                            root.finish();
                          }),
              ElementsAre(AllOf(HasSubstr("unknown key"), Not(HasSubstr("did you mean")), HasSubstr("pace_ms"))));
}

TEST(ConfigDocument, AKeyLeftToAnotherReaderIsKnown) {
  EXPECT_THAT(problems_of(R"({"pools": []})",
                          [](ConfigObject& root) {
                            root.leave("pools");
                            root.finish();
                          }),
              ElementsAre());
}

TEST(ConfigDocument, EveryProblemIsReportedAtOnceWithItsPlace) {
  EXPECT_THAT(problems_of(R"({"a": "x", "b": {"c": 500}, "e": "blue"})",
                          [](ConfigObject& root) {
                            root.integer("a", std::nullopt, 1, 9);
                            ConfigObject b = root.object("b", true);
                            b.milliseconds("c", 10, 0.5, 100);
                            b.text("d", std::nullopt);
                            static constexpr std::array<std::string_view, 2> kColours{"red", "green"};
                            root.choice("e", std::nullopt, kColours);
                          }),
              ElementsAre(HasSubstr("a: found \"x\"; allowed: a whole number from 1 to 9"),
                          HasSubstr("b.c: found 500; allowed: milliseconds, a number from 0.5 to 100"),
                          HasSubstr("b.d: found nothing"), HasSubstr("one of \"red\", \"green\"")));
}

TEST(ConfigDocument, LimitsThemselvesAreAllowed) {
  EXPECT_THAT(problems_of(R"({"low": 1, "high": 9, "half": 0.5})",
                          [](ConfigObject& root) {
                            EXPECT_EQ(root.integer("low", std::nullopt, 1, 9), 1);
                            EXPECT_EQ(root.integer("high", std::nullopt, 1, 9), 9);
                            EXPECT_EQ(root.milliseconds("half", std::nullopt, 0.5, 2), std::chrono::microseconds(500));
                          }),
              ElementsAre());
}

TEST(ConfigDocument, NumbersThatAreNoneAreRefused) {
  for (const char* value : {"1.5", "true", "null", "\"3\"", "[]", "-1", "18446744073709551615"}) {
    EXPECT_EQ(problems_of(std::string("{\"n\": ") + value + "}",
                          [](ConfigObject& root) { root.integer("n", std::nullopt, 0, 9); })
                  .size(),
              1U)
        << value;
  }
}

TEST(ConfigDocument, ASyntaxErrorHasItsLine) {
  const TempFolder folder;
  std::ofstream(folder / "bad.json") << "{\n  // a comment\n  \"a\": 1,\n  \"b\" 2\n}\n";
  const auto document = load_document(folder / "bad.json");
  ASSERT_FALSE(document);
  EXPECT_THAT(document.error().lines(), ElementsAre(HasSubstr("line 4")));
}

TEST(ConfigDocument, AKeyGivenTwiceIsRefusedWithItsPlace) {
  const TempFolder folder;
  std::ofstream(folder / "twice.json")
      << R"({"a": 1, "pools": [{"x": [1, {"y": 2}]}, 7, {"b": {"c": 1, "d": 2, "c": 3}}],
                                              "other": {"a": 1}, "a": 2})";
  const auto document = load_document(folder / "twice.json");
  ASSERT_FALSE(document);
  EXPECT_THAT(document.error().lines(), ElementsAre(HasSubstr("pools[2].b.c: found this key more than once"),
                                                    HasSubstr("twice.json: a: found this key more than once")));
}

TEST(ConfigDocument, CommentsAreAllowed) {
  const TempFolder folder;
  std::ofstream(folder / "good.json") << "{ /* one */ \"a\": 1 // two\n}\n";
  EXPECT_TRUE(load_document(folder / "good.json"));
}

TEST(ConfigDocument, WhatIsNoObjectOrNotThereIsSaid) {
  const TempFolder folder;
  std::ofstream(folder / "list.json") << "[1]";
  EXPECT_THAT(load_document(folder / "list.json").error().lines(), ElementsAre(HasSubstr("one JSON object")));
  EXPECT_THAT(load_document(folder / "absent.json").error().lines(), ElementsAre(HasSubstr("cannot be read")));
}

}  // namespace
}  // namespace hapair::ccm
