// SPDX-License-Identifier: Apache-2.0
// Lines in columns that fit the terminal.
#ifndef FOREKEY_SRC_CLI_TERMINAL_TABLE_H_
#define FOREKEY_SRC_CLI_TERMINAL_TABLE_H_

#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

namespace forekey {

// Of the terminal behind that descriptor; 0 where there is none.
size_t TerminalColumns(int fd);

class Table {
 public:
  // `columns`: of the terminal; 0: a file or a pipe, where nothing is shortened or aligned.
  explicit Table(size_t columns) : columns_(columns) {}
  // For what is written to `out`, which may be the standard output.
  static Table For(const std::ostream& out);

  // Rows may have different numbers of cells. Cells are printable UTF-8.
  void Add(std::vector<std::string> cells);
  // Two spaces between columns. Where a line is too long, its widest cells lose their ends to
  // "..."; hex ids keep at least the 12 digits by which commands take them.
  void Print(std::ostream& out) const;

 private:
  const size_t columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace forekey

#endif  // FOREKEY_SRC_CLI_TERMINAL_TABLE_H_
