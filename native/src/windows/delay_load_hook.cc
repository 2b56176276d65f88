/**
 * The addon's imports are those of the program that loaded it, whatever its file is called: a plain import of NODE.EXE fails in a
 * single-file build. https://learn.microsoft.com/cpp/build/reference/understanding-the-helper-function
 */
#include <windows.h>

#include <delayimp.h>

#include <cstring>

namespace {

FARPROC WINAPI loading_program(unsigned notification, PDelayLoadInfo info) {
  if (notification != dliNotePreLoadLibrary || _stricmp(info->szDll, "node.exe") != 0) return nullptr;
  return reinterpret_cast<FARPROC>(GetModuleHandleW(nullptr));
}

}  // namespace

/** Declared in delayimp.h. */
PfnDliHook __pfnDliNotifyHook2 = loading_program;
