{
  "targets": [
    {
      "target_name": "proclabel",
      "sources": ["src/binding.cc"],
      "include_dirs": ["<!@(node -p \"require('node-addon-api').include_dir\")", "src"],
      "defines": ["NAPI_VERSION=9", "NAPI_CPP_EXCEPTIONS"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti"],
      "cflags_cc": ["-std=c++20", "-O2", "-Wall", "-Wextra", "-fexceptions"],
      "conditions": [
        ["OS=='linux'", {
          "sources": [
            "src/linux/diag_messages.cc",
            "src/linux/linux_source.cc",
            "src/linux/proc_text.cc",
            "src/linux/process_table.cc",
            "src/linux/sock_diag.cc"
          ]
        }]
      ]
    }
  ]
}
