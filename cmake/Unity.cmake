# Unity builds: the files of a target are compiled in batches, so that the headers of Abseil, gRPC and
# gtest are parsed once a batch and not once a file. A clean build is four times as fast. Presets turn
# it on (CMAKE_UNITY_BUILD); release builds do without, so that every file is also compiled alone.
#
# Files whose local names meet another file's in the same batch are compiled alone: listed here.
set(FOREKEY_COMPILED_ALONE
    forekey_end2end_test:gate_tls_test.cc
    forekey_hw_tests:piv_parts_test.cc
    forekey_hw_tests:piv_card_logic_test.cc
    forekey_wire_test:statement_test.cc
    forekey_wire:tpm_attest.cc
    forekey_wire:tpm_signature.cc
    forekey_wire:tpm_public.cc
    forekey_wire:tpm_nv_certificate.cc
    forekey_wire:prefix.cc
    forekey_wire:invite.cc
    forekey_wire:cose_key.cc
    forekey_wire:client_data.cc
    forekey_wire:authenticator_data.cc
    forekey_crypto_test:certificate_path_openssl_test.cc
    forekey_verify:webauthn_u2f.cc
    forekey_verify:webauthn_certificate.cc
    forekey_verify:tpm_quirks.cc
    forekey_verify:jws.cc
    forekey_store:sqlite_registry.cc
    forekey_store:session_table.cc
    forekey_gate_enroll:enrollment_ticket.cc
)

function(forekey_unity_exceptions)
  set_target_properties(forekey_proto forekey_proto_grpc PROPERTIES UNITY_BUILD OFF)
  foreach(entry ${FOREKEY_COMPILED_ALONE})
    string(REPLACE ":" ";" parts ${entry})
    list(GET parts 0 target)
    list(GET parts 1 file)
    if(TARGET ${target})
      get_target_property(directory ${target} SOURCE_DIR)
      set_source_files_properties(${directory}/${file} TARGET_DIRECTORY ${target}
                                  PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    endif()
  endforeach()
endfunction()
