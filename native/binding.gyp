{
  "targets": [
    {
      "target_name": "proclabel",
      "sources": [
        "src/annotate/annotator.cc",
        "src/annotate/current_sessions.cc",
        "src/annotate/pcapng_writer.cc",
        "src/annotate/session_line.cc",
        "src/annotate/session_spool.cc",
        "src/binding/annotator.cc",
        "src/binding/capture.cc",
        "src/binding/files.cc",
        "src/binding/module.cc",
        "src/binding/service.cc",
        "src/binding/sessions.cc",
        "src/binding/sources.cc",
        "src/binding/values.cc",
        "src/files/record_run.cc",
        "src/packet/batch_builder.cc",
        "src/packet/capture.cc",
        "src/packet/duplicates.cc",
        "src/packet/ethernet.cc",
        "src/packet/flow_table.cc",
        "src/packet/fragments.cc",
        "src/packet/frame_decoder.cc",
        "src/packet/gre.cc",
        "src/packet/host_frames.cc",
        "src/packet/host_table.cc",
        "src/packet/ip.cc",
        "src/packet/link.cc",
        "src/packet/mpls.cc",
        "src/packet/name_filter.cc",
        "src/packet/ppp.cc",
        "src/packet/transport.cc",
        "src/packet/udp_tunnels.cc",
        "src/session/digest.cc",
        "src/session/session_table.cc",
        "src/session/session_text.cc"
      ],
      "include_dirs": ["<!@(node -p \"require('node-addon-api').include_dir\")", "src"],
      "defines": ["NAPI_VERSION=9", "NAPI_CPP_EXCEPTIONS"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti"],
      "cflags_cc": ["-std=c++20", "-O2", "-Wall", "-Wextra", "-fexceptions", "-flto=auto"],
      "ldflags": ["-O2", "-flto=auto"],
      "conditions": [
        ["OS=='linux'", {
          "sources": [
            "src/linux/address_list.cc",
            "src/linux/diag_messages.cc",
            "src/linux/linux_events.cc",
            "src/linux/linux_source.cc",
            "src/linux/network_namespaces.cc",
            "src/linux/packet_filter.cc",
            "src/linux/packet_ring.cc",
            "src/linux/packet_source.cc",
            "src/linux/perf_ring.cc",
            "src/linux/perf_tap.cc",
            "src/linux/proc_text.cc",
            "src/linux/process_book.cc",
            "src/linux/process_identity.cc",
            "src/linux/process_table.cc",
            "src/linux/resident_memory.cc",
            "src/linux/service_manager.cc",
            "src/linux/sock_diag.cc",
            "src/linux/socket_tracker.cc",
            "src/linux/traffic_counters.cc",
            "src/linux/trace_format.cc"
          ]
        }]
      ]
    }
  ]
}
