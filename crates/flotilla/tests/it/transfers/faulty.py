"""The bank of the example, with a fault: at one operation of one branch of one transaction, before or after the work, it kills the node or
itself with SIGKILL. The file `$FAULT` says which, and is renamed when that comes about."""

import json
import os
import signal
import sys
from urllib.parse import urlsplit

sys.path.insert(0, os.environ["BANK_CODE"])

import bank
from flotilla.tx import Branch


def strike(branch, moment):
    path = os.environ["FAULT"]
    try:
        with open(path) as file:
            fault = json.load(file)
    except (FileNotFoundError, ValueError):
        return
    if (fault["gid"], fault["branch"], fault["op"], fault["moment"]) != (branch.gid, branch.id, branch.op, moment):
        return
    try:
        os.rename(path, path + ".struck")
    except FileNotFoundError:
        return
    os.kill(fault["node"] or os.getpid(), signal.SIGKILL)


class Faulty(bank.Handler):
    def do_POST(self):
        body = self.body()
        query = urlsplit(self.path).query
        branch = Branch.from_request(query, self.headers)
        strike(branch, "before")
        result = bank.transfer(query, self.headers, body)
        strike(branch, "after")
        self.answer(result.status, result.body, result.headers)


bank.serve(Faulty)
