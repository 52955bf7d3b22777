# SPDX-License-Identifier: Apache-2.0
"""A socket or password file that lagwatch's user may not use: the reason, and a fix that is a
command. The command's effect is carried out, and helps."""

import grp
import os
import re

from lab.agent import configuration, target
from lab.process import unprivileged_user

from integration.support import (
    WELL,
    Watch,
    WithSite,
    cli,
    config_file,
    duration,
    failing,
    failures,
    fds_at_rest,
    need_root,
    relaxed,
    wait_fds,
)

NAME = "closed"
GROUP = "haproxy"


class Permission(WithSite):
    @classmethod
    def setUpClass(cls):
        need_root()
        super().setUpClass()
        cls.user = unprivileged_user()
        cls.socket = cls.lb.admin_socket
        cls.closed = config_file(
            cls.lab, configuration([target(NAME, cls.socket)], host=False), "closed.yml"
        )

    def setUp(self):
        self.restore(self.socket, 0o600)

    def restore(self, path, mode):
        os.chown(path, 0, 0)
        os.chmod(path, mode)

    def check_live(self, **more):
        return cli(self.lab, "check", "--live", f"--config.file={self.closed}", **more)

    def fix(self, done):
        self.assertEqual(done.code, 1, done)
        self.assertIn(f"haproxy {NAME}: permission: ", done.out)
        self.assertIn(f"permission denied for user {self.user}", done.out)
        found = re.search(r"^  fix: (.+)$", done.out, re.MULTILINE)
        self.assertIsNotNone(found, done.out)
        return found[1]

    def test_a_socket_of_root_alone_fails_with_permission_and_says_what_allows_it(self):
        agent = self.agent(
            [target(NAME, self.socket), target(WELL, self.lb.user_socket)],
            interval=duration(0.2),
            timeout=duration(0.5),
        )
        base = fds_at_rest(agent)
        with Watch(agent) as watch:
            agent.wait_metric(lambda m: failures(m, NAME, "permission") >= 3, "three attempts")
        watch.check(self)
        for _, samples in watch.all():
            self.assertEqual(failing(samples, NAME), "permission")
            self.assertEqual(samples.value("haproxy_up", target=NAME), 0)
        self.assertIn("reason=permission", agent.log())
        self.assertIn(str(self.socket), agent.log())
        self.assertRegex(agent.log(), r'fix="[^"]*mode 660[^"]*level user')
        wait_fds(agent, base)
        # What the fix says, done while lagwatch runs.
        os.chown(self.socket, 0, grp.getgrnam(self.group()).gr_gid)
        os.chmod(self.socket, 0o660)
        agent.wait_metric(
            lambda m: m.value("haproxy_up", target=NAME) == 1, "it is allowed", relaxed(8)
        )

    def group(self):
        """The group that the fix names."""
        found = re.search(r"mode 660 group (\S+) level user", self.fix(self.check_live()))
        self.assertIsNotNone(found)
        return found[1]

    def test_check_live_names_a_group_and_mode_that_help(self):
        group = self.group()
        os.chown(self.socket, 0, grp.getgrnam(group).gr_gid)
        os.chmod(self.socket, 0o660)
        done = self.check_live()
        self.assertEqual((done.code, done.err), (0, ""), done)
        self.assertIn(f"haproxy {NAME}: ok", done.out)

    def test_a_socket_of_another_group_names_usermod_and_that_helps(self):
        try:
            group = grp.getgrnam(GROUP)
        except KeyError:
            self.skipTest(f"no group {GROUP}")
        os.chown(self.socket, 0, group.gr_gid)
        os.chmod(self.socket, 0o660)
        fix = self.fix(self.check_live())
        self.assertIn(f"usermod -aG {GROUP} {self.user}", fix)
        done = self.check_live(groups=group.gr_gid)  # as usermod and a restart make it
        self.assertEqual(done.code, 0, done)

    def test_a_directory_that_may_not_be_entered_is_named_with_its_command(self):
        os.chmod(self.socket, 0o666)
        directory = self.socket.parent
        self.addCleanup(self.restore, directory, 0o755)
        os.chmod(directory, 0o700)
        fix = self.fix(self.check_live())
        self.assertIn(str(directory), fix)
        command = re.search(rf"chmod o\+x ({re.escape(str(directory))})$", fix)
        self.assertIsNotNone(command, fix)
        os.chmod(command[1], 0o701)
        done = self.check_live()
        self.assertEqual(done.code, 0, done)
