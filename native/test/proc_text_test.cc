#include "linux/proc_text.hh"

#include <random>

#include "test.hh"

using namespace proclabel;

namespace {

const std::string id(64, 'a');
const std::string stat_of_bash =
    "4711 (bash) S 4700 4711 4711 34816 4711 4194304 1 0 0 0 0 0 0 0 20 0 1 0 123456 7000000 900 18446744073709551615 1";

}  // namespace

TEST("stat gives parent, start and name") {
  const auto stat = parse_stat(stat_of_bash);
  CHECK(stat.has_value());
  CHECK_EQUAL(stat->command, "bash");
  CHECK_EQUAL(stat->parent_pid, 4700);
  CHECK_EQUAL(stat->start_ticks, 123456u);
}

TEST("a name may hold blanks, parentheses and a false state") {
  std::string text = stat_of_bash;
  text.replace(text.find("(bash)"), 6, "(a) R 1 (b)");
  const auto stat = parse_stat(text);
  CHECK(stat.has_value());
  CHECK_EQUAL(stat->command, "a) R 1 (b");
  CHECK_EQUAL(stat->parent_pid, 4700);
}

TEST("stat that ends before the start time gives nothing") {
  const size_t end_of_start = stat_of_bash.find("123456") + 6;
  for (size_t length = 0; length < stat_of_bash.find("123456"); length++) {
    CHECK(!parse_stat(stat_of_bash.substr(0, length)).has_value());
  }
  CHECK(parse_stat(stat_of_bash.substr(0, end_of_start)).has_value());
}

TEST("the inode of a socket link, and only of one") {
  CHECK_EQUAL(parse_socket_link("socket:[49437]"), 49437u);
  CHECK_EQUAL(parse_socket_link("socket:[4294967295]"), 4294967295u);
  for (const char* other : {"pipe:[49437]", "/tmp/socket:[1]", "socket:[]", "socket:[-1]", "socket:[4294967296]",
                            "socket:[12", "socket:", "", "anon_inode:[eventpoll]"}) {
    CHECK_EQUAL(parse_socket_link(other), 0u);
  }
}

TEST("the container of every naming that runtimes use") {
  for (const std::string& path : {
           "0::/system.slice/docker-" + id + ".scope\n",
           "0::/docker/" + id,
           "12:pids:/kubepods/besteffort/pod5f5a/" + id + "\n0::/\n",
           "0::/kubepods.slice/kubepods-pod5f5a.slice/cri-containerd-" + id + ".scope\n",
           "0::/kubepods.slice/crio-" + id + ".scope\n",
           "0::/machine.slice/libpod-" + id + ".scope/container\n",
       }) {
    CHECK_EQUAL(container_id(path), id);
  }
}

TEST("what is not 64 hex digits is no container") {
  const std::string others[] = {"0::/", "0::/user.slice/session-1.scope", "/docker/" + id + "a", "/docker/" + id.substr(1)};
  for (const std::string& path : others) {
    CHECK_EQUAL(container_id(path), "");
  }
}

TEST("the unit of a service, not that of its user's manager") {
  CHECK_EQUAL(systemd_unit("0::/system.slice/ssh.service\n"), "ssh.service");
  CHECK_EQUAL(systemd_unit("0::/system.slice/system-postgresql.slice/postgresql@15-main.service/sub\n"),
              "postgresql@15-main.service");
  CHECK_EQUAL(systemd_unit("8:pids:/other.service\n1:name=systemd:/system.slice/cron.service\n0::/\n"), "cron.service");
  CHECK_EQUAL(systemd_unit("0::/user.slice/user-1000.slice/user@1000.service/app.slice/gnome.service\n"),
              "gnome.service");
  CHECK_EQUAL(systemd_unit("0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-1.scope\n"), "");
  CHECK_EQUAL(systemd_unit("0::/init.scope\n"), "");
}

TEST("the path of an executable that was replaced while it runs") {
  CHECK_EQUAL(executable_path("/usr/bin/node (deleted)"), "/usr/bin/node");
  CHECK_EQUAL(executable_path("/usr/bin/node"), "/usr/bin/node");
  CHECK_EQUAL(base_name("/usr/bin/node"), "node");
  CHECK_EQUAL(base_name("node"), "node");
  CHECK_EQUAL(base_name("/usr/bin/"), "");
}

TEST("the user is the effective one") {
  CHECK_EQUAL(effective_user("Name:\tsudo\nUid:\t1000\t0\t0\t0\nGid:\t1000\t7\t7\t7\n").value_or(9), 0u);
  CHECK_EQUAL(effective_user("Name:\tbash\nUid:\t1000\t1001\t1002\t1003\n").value_or(9), 1001u);
  CHECK(!effective_user("Name:\tbash\nUid:\t1000"));
  CHECK(!effective_user(""));
}

TEST("no text makes the readers of /proc read beyond its end") {
  std::mt19937 random(1);
  const std::string seeds[] = {stat_of_bash, "Name:\tbash\nUid:\t1000\t1001\t1002\t1003\n", "socket:[49437]", "0::/system.slice/docker-" + id + ".scope/ssh.service\n"};
  for (int round = 0; round < 30000; round++) {
    std::string text = seeds[random() % 4];
    for (int edits = random() % 8; edits > 0 && !text.empty(); edits--) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0: text[at] = static_cast<char>(random()); break;
        case 1: text.erase(at, random() % 10); break;
        default: text.insert(at, 1, "()[]:/ \n\0"[random() % 9]);
      }
    }
    // A copy of just its size, so that the sanitizer sees a read behind it.
    const std::vector<char> exact(text.begin(), text.end());
    const std::string_view view(exact.data(), exact.size());
    parse_stat(view);
    parse_socket_link(view);
    container_id(view);
    effective_user(view);
    systemd_unit(view);
    base_name(executable_path(view));
  }
}

TEST("the pod of a cgroup, in the names that either driver of the kubelet gives it") {
  const std::string uid = "12345678-9abc-4def-8123-456789abcdef", config_hash(32, 'b');
  for (const std::string& path : {
           "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12345678_9abc_4def_8123_456789abcdef.slice/crio-" + id,
           "12:pids:/kubepods/besteffort/pod" + uid + "/" + id + "\n0::/\n",
           std::string("0::/../kubepods-pod12345678_9abc_4def_8123_456789abcdef.slice"),
       }) {
    CHECK_EQUAL(pod_uid(path), uid);
  }
  CHECK_EQUAL(pod_uid("0::/kubepods/burstable/pod" + config_hash + "/" + id), config_hash);
  for (const std::string& path : {std::string("0::/kubepods.slice"), std::string("0::/pod"), "0::/pod" + uid.substr(1),
                                  "0::/podman-" + id, "0::/libpod-" + id + ".scope", std::string()}) {
    CHECK_EQUAL(pod_uid(path), "");
  }
}

TEST("the name of a pod from the folder of its logs") {
  CHECK_EQUAL(pod_name_of("shop_web-0_123", "123"), "shop/web-0");
  for (const char* other : {"shop_web-0_124", "shop_web-0", "_web-0_123", "shop__123", "123", "", ".", "a_b_c_123"}) {
    CHECK_EQUAL(pod_name_of(other, "123"), "");
  }
}
