# SPDX-License-Identifier: Apache-2.0
# Manual pages and completions, written by the programs themselves (--page), so that they can't drift from
# --help; and forekey-gate.toml(5) from docs/CONFIG.md.
set(pages ${CMAKE_BINARY_DIR}/pages)
file(MAKE_DIRECTORY ${pages})
set(page_files "")
foreach(program forekey forekey-agent forekey-gate forekey-sim)
  set(outputs "")
  set(commands "")
  foreach(form manual:${program}.1 bash:${program}.bash zsh:_${program} fish:${program}.fish)
    string(REPLACE ":" ";" form ${form})
    list(GET form 0 kind)
    list(GET form 1 name)
    list(APPEND commands COMMAND ${program} --page ${kind} > ${pages}/${name})
    list(APPEND outputs ${pages}/${name})
  endforeach()
  add_custom_command(OUTPUT ${outputs} ${commands} DEPENDS ${program} VERBATIM
                     COMMENT "Writing the manual page and the completions of ${program}")
  list(APPEND page_files ${outputs})
  install(FILES ${pages}/${program}.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT programs)
  install(FILES ${pages}/${program}.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
          RENAME ${program} COMPONENT programs)
  install(FILES ${pages}/_${program} DESTINATION ${FOREKEY_ZSH_COMPLETIONS} COMPONENT programs)
  install(FILES ${pages}/${program}.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d
          COMPONENT programs)
endforeach()
add_custom_command(
  OUTPUT ${pages}/forekey-gate.toml.5
  COMMAND Python3::Interpreter ${forekey_SOURCE_DIR}/packaging/config_page.py ${forekey_SOURCE_DIR}/docs/CONFIG.md
          ${PROJECT_VERSION} ${pages}/forekey-gate.toml.5
  DEPENDS ${forekey_SOURCE_DIR}/packaging/config_page.py ${forekey_SOURCE_DIR}/docs/CONFIG.md VERBATIM)
install(FILES ${pages}/forekey-gate.toml.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5 COMPONENT programs)
add_custom_target(forekey_pages ALL DEPENDS ${page_files} ${pages}/forekey-gate.toml.5)
