# SPDX-License-Identifier: Apache-2.0
"""Small made-up replies of a stats socket, for fakes that answer before they go wrong."""

INFO = """Name: HAProxy
Version: 2.6.12-1+deb12u4
Nbthread: 1
Nbproc: 1
Process_num: 1
Pid: 4242
Uptime_sec: 100
Maxconn: 2000
CurrConns: 1
CumConns: 10
CumReq: 12
Idle_pct: 99
Start_time_sec: 1700000000
"""
COLUMNS = (
    "pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,"
    "wredis,status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,"
    "lbtot,tracked,type,rate,rate_lim,rate_max,check_status,check_code,check_duration,hrsp_1xx,"
    "hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other"
).split(",")
FRONTEND = {"pxname": "www", "svname": "FRONTEND", "status": "OPEN", "iid": 2, "sid": 0, "type": 0}
BACKEND = {"pxname": "web", "svname": "BACKEND", "status": "UP", "iid": 3, "sid": 0, "type": 1}
SERVER = {"pxname": "web", "status": "UP", "iid": 3, "type": 2, "check_status": "L7OK"}
COUNTS = {"pid": 1, "qcur": 0, "scur": 0, "stot": 1, "hrsp_2xx": 1, "hrsp_5xx": 0}


def stat_row(**cells):
    """One CSV line; columns not named stay empty."""
    return ",".join(str(cells.get(name, "")) for name in COLUMNS) + ",\n"


def stat(servers=8):
    """A `show stat` reply with one frontend and a backend of so many servers, all up."""
    rows = [stat_row(**FRONTEND, pid=1, scur=1, stot=servers)]
    for number in range(1, servers + 1):
        checks = {"chkfail": 0, "chkdown": 0, "lastchg": 100, "downtime": 0, "check_code": 200}
        rows.append(
            stat_row(
                svname=f"app{number}",
                sid=number,
                weight=1,
                act=1,
                bck=0,
                **SERVER,
                **COUNTS,
                **checks,
            )
        )
    rows.append(stat_row(**BACKEND, weight=servers, act=servers, bck=0, **COUNTS))
    return "# " + ",".join(COLUMNS) + ",\n" + "".join(rows)


def reply_to(command, info=INFO, csv=None):
    """What HAProxy answers to a command line: one block for each command, each ending in an empty
    line."""
    csv = stat() if csv is None else csv
    blocks = []
    for one in command.strip().split(";"):
        words = one.split()
        if words[:2] == ["show", "info"]:
            blocks.append(info)
        elif words[:2] == ["show", "stat"]:
            blocks.append(csv)
        else:
            blocks.append("Unknown command.\n")
    return "".join(block.rstrip("\n") + "\n\n" for block in blocks).encode()
