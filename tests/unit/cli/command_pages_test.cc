// SPDX-License-Identifier: Apache-2.0
// Pages and completions say what the command line is, and nothing in a text of ours is taken for
// more than text: not by roff, and by no shell.
#include "src/cli/terminal/command_pages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>

namespace forekey {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class CommandPagesTest : public ::testing::Test {
 protected:
  CommandPagesTest() {
    app_.require_subcommand(1);
    CLI::App* const trust = app_.add_subcommand("trust", "Trust anchors: look at them.\nSecond.");
    CLI::App* const add = trust->add_subcommand("add", "Add one, it's easy");
    add->add_option("FILE", file_, "The file")->required();
    add->add_option("-k,--kind", kind_, "What it is")->check(CLI::IsMember({"tpm", "piv"}));
    add->add_option("--label", label_, "'; rm -rf $HOME `id`");
    add->add_flag("--force", force_, ".de evil")->group("");
    add->footer("Example:\n  tool trust add x\n.so /etc/passwd");
    app_.add_subcommand("secret", "Hidden")->group("");
    AddPages(app_, out_);
  }

  std::string Page(const char* form) {
    out_.str("");
    const char* const words[] = {"tool", "--page", form};
    try {
      app_.parse(3, words);
    } catch (const CLI::Success&) {
      return out_.str();
    } catch (const CLI::ParseError& error) {
      return error.get_name();
    }
    return "went on";
  }

  CLI::App app_{"A tool: it does things.", "tool"};
  std::ostringstream out_;
  std::string file_, kind_, label_;
  bool force_ = false;
};

TEST_F(CommandPagesTest, ThePageHasEveryCommandAndOption) {
  const std::string page = Page("manual");
  EXPECT_THAT(page, HasSubstr(".TH TOOL 1"));
  EXPECT_THAT(page, HasSubstr("tool \\- A tool: it does things\n"));
  EXPECT_THAT(page, HasSubstr(".SS tool trust add [OPTIONS] FILE"));
  EXPECT_THAT(page, HasSubstr("\\fB\\-k\\fR, \\fB\\-\\-kind\\fR \\fITEXT\\fR\nWhat it is"));
  EXPECT_THAT(page, HasSubstr("One of: tpm, piv."));
}

TEST_F(CommandPagesTest, NoTextIsARequestToRoff) {
  const std::string page = Page("manual");
  EXPECT_THAT(page, HasSubstr("\n\\&.so /etc/passwd"));
  EXPECT_THAT(page, Not(HasSubstr("\n.so")));
}

TEST_F(CommandPagesTest, WhatIsHiddenStaysHidden) {
  for (const char* form : {"manual", "bash", "zsh", "fish"}) {
    const std::string page = Page(form);
    EXPECT_THAT(page, Not(HasSubstr("force"))) << form;
    EXPECT_THAT(page, Not(HasSubstr("secret"))) << form;
    EXPECT_THAT(page, Not(HasSubstr("page"))) << form;
  }
}

TEST_F(CommandPagesTest, DescriptionsAreNoCommandsToAShell) {
  EXPECT_THAT(Page("zsh"), HasSubstr("'--label:'\\''; rm -rf $HOME `id`'"));
  EXPECT_THAT(Page("fish"), HasSubstr("-d ''\\''; rm -rf $HOME `id`'"));
  EXPECT_THAT(Page("bash"), Not(HasSubstr("rm -rf")));
}

TEST_F(CommandPagesTest, ValuesThatAreFewAreOffered) {
  EXPECT_THAT(Page("bash"), HasSubstr("' trust add:-k'|' trust add:--kind') "
                                      "COMPREPLY=($(compgen -W 'tpm piv'"));
  EXPECT_THAT(Page("zsh"), HasSubstr("compadd -- tpm piv"));
  EXPECT_THAT(Page("fish"), HasSubstr("-s k -l kind -x -a 'tpm piv'"));
}

TEST_F(CommandPagesTest, OtherFormsAreRefused) {
  EXPECT_EQ(Page("powershell"), "ValidationError");
  EXPECT_FALSE(Completions(app_, "powershell").ok());
}

}  // namespace
}  // namespace forekey
