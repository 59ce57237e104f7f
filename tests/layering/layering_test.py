#!/usr/bin/env python3
"""The fences themselves: each kind of edge that layering.py is to refuse, in a small tree of its own."""
import os
import tempfile
import unittest

import layering

EDGES = """# A comment: with a colon.
base:
identity:
net: identity
rpc: | identity
proxy: envoy_api
mgmt-server: rpc
deploy/demo: tests/support
deploy/demo/app.cc:
mgmt-server/store:
mgmt-server/store/sqlite: mgmt-server/store
mgmt-server/services: mgmt-server/store
"""
TREE = {
    "libs/net/tls.h": '#include "libs/identity/spiffe_id.h"\n#include <vector>\n#include "libs/base/result.h"',
    "libs/net/tls_test.cc": '#include "tests/support/fleet.h"\n#include "libs/rpc/pool.h"',
    "libs/rpc/pool.cc": '#include "libs/identity/spiffe_id.h"',
    "libs/proxy/envoy_snapshot.h": '#include "envoy/config/core/v3/base.pb.h"',
    "mgmt-server/server.h": '#include "libs/rpc/pool.h"\n#include "mgmt-server/store/sqlite/rows.h"',
    "mgmt-server/store/sqlite/rows.cc": '#include "mgmt-server/store/store.h"',
    "mgmt-server/services/status.cc": '#include "mgmt-server/store/store.h"',
    "deploy/demo/demo.h": '#include "tests/support/fleet.h"',
    "deploy/demo/app.cc": '#include "libs/base/text.h"',
}


class Layering(unittest.TestCase):
    def found(self, change=None, edges=EDGES):
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**TREE, **(change or {}), "cmake/edges.txt": edges}.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            return layering.check_tree(root)[0]

    def refuses(self, words, change=None, edges=EDGES):
        found = self.found(change, edges)
        self.assertEqual(len(found), 1, found)
        self.assertIn(words, found[0])

    def test_a_tree_in_order_is_clean(self):
        self.assertEqual(self.found(), [])

    def test_an_edge_between_modules_that_the_table_does_not_have(self):
        self.refuses("net may not include rpc", {"libs/net/loop.cc": '#include "libs/rpc/pool.h"'})

    def test_a_module_that_the_table_does_not_know(self):
        self.refuses("codec may not include net", {"libs/codec/a.cc": '#include "libs/net/tls.h"'})

    def test_a_lock_that_the_analysis_does_not_know(self):
        for lock in ("std::mutex mutex_;", "std::lock_guard lock(mutex_);", "std::unique_lock<std::shared_mutex> lock;",
                     "std::condition_variable_any wake_;"):
            for path in ("libs/net/loop.cc", "libs/net/loop_test.cc", "tests/support/load.h"):
                found = self.found({path: "#include <gtest/gtest.h>\n" + lock})
                self.assertTrue(found and all("thread-safety analysis" in line for line in found), (lock, path, found))

    def test_our_own_locks_and_what_is_only_spoken_of(self):
        self.assertEqual(self.found({"libs/base/mutex.h": "std::mutex mutex_;",
                                     "libs/net/loop.cc": "weir::Mutex mutex_;  // Not a std::mutex."}), [])

    def test_a_word_of_the_dialect_that_is_spelled_elsewhere(self):
        for line in ('find("dev.weir");', "constexpr uint16_t kPort = 15443;", 'set_name("trust");', 'Begins("x-weir-");',
                     'constexpr auto kUrl = "type.googleapis.com/weir.mesh.v1.Host";'):
            self.refuses("this stands in libs/dialect", {"libs/net/a.cc": line})
            self.assertEqual(self.found({"libs/net/a.cc": "int a;  // " + line}), [])
            self.assertEqual(self.found({"libs/net/a_test.cc": line}), [])

    def test_a_reason_of_a_status_that_is_not_from_the_table(self):
        word, child = 'return {"NO_RECEIVER", text};', 'status.set_reason("CHILD");'
        for path, line in (("mgmt-server/status/reach.cc", word), ("mgmt-server/status/reach.cc", child),
                           ("mgmt-server/services/status.cc", child + '\n#include "mgmt-server/store/store.h"')):
            self.refuses("status_reason.h", {path: line})
        self.assertEqual(self.found({"mgmt-server/services/status.cc": word + '\n#include "mgmt-server/store/store.h"'}), [])

    def test_an_edge_of_a_module_that_nobody_uses(self):
        self.refuses("rpc includes nothing of identity", {"libs/rpc/pool.cc": ""})

    def test_an_edge_that_only_a_test_uses(self):
        self.refuses("rpc includes nothing of identity",
                     {"libs/rpc/pool.cc": "", "libs/rpc/pool_test.cc": '#include "libs/identity/spiffe_id.h"'})

    def test_an_edge_between_rooms_that_the_table_does_not_have(self):
        self.refuses("mgmt-server/store may not include mgmt-server/store/sqlite",
                     {"mgmt-server/store/store.cc": '#include "mgmt-server/store/sqlite/rows.h"'})

    def test_a_room_that_the_table_does_not_know(self):
        self.refuses("mgmt-server/audit may not include mgmt-server/store",
                     {"mgmt-server/audit/a.cc": '#include "mgmt-server/store/store.h"'})

    def test_an_edge_of_a_room_that_nobody_uses(self):
        self.refuses("mgmt-server/services includes nothing of mgmt-server/store", {"mgmt-server/services/status.cc": ""})

    def test_a_hidden_edge_that_a_header_uses(self):
        self.refuses("rpc has identity as hidden", {"libs/rpc/pool.h": '#include "libs/identity/spiffe_id.h"'})

    def test_an_exposed_edge_that_no_header_uses(self):
        self.refuses("net has identity as exposed",
                     {"libs/net/tls.h": "", "libs/net/tls.cc": '#include "libs/identity/spiffe_id.h"'})

    def test_envoy_messages_beyond_the_snapshot_of_the_data_plane(self):
        self.refuses("in proxy only envoy_snapshot may include",
                     {"libs/proxy/engine.cc": '#include "envoy/config/core/v3/base.pb.h"'})

    def test_test_support_in_a_program(self):
        self.refuses("mgmt-server may not include tests/support", {"mgmt-server/a.cc": '#include "tests/support/fleet.h"'})

    def test_a_program_of_one_file_has_edges_of_its_own(self):
        self.refuses("deploy/demo/app.cc may not include tests/support",
                     {"deploy/demo/app.cc": '#include "tests/support/fleet.h"'})


if __name__ == "__main__":
    unittest.main()
