"""What requests say, and what answers do."""

import unittest

from flotilla.tx import Answer, Branch, Invalid

LINE = "gid=a;branch=01;op=action;attempt=3;mode=saga"


class Requests(unittest.TestCase):
    def check(self, query, header, expected):
        headers = {"Flotilla-Tx": header} if header else {}
        try:
            found = Branch.from_request(query, headers).to_line()
        except Invalid as invalid:
            found = str(invalid)
        self.assertIn(expected, found)

    def test_a_branch_is_read_from_the_header_or_from_the_parameters_of_dtm(self):
        self.check("", LINE, LINE)
        self.check({"gid": ["a"], "branch_id": ["01"]}, LINE, LINE)
        classic = "gid=a;branch=x;op=pre_commit;attempt=1;mode=3pc_classic;deadline=1767225600000"
        self.check("gid=a&branch_id=x&op=pre_commit&trans_type=3pc", classic, classic)
        self.check(b"sku=1&gid=%61%2Bb&branch_id=0101&op=try&trans_type=tcc", "", "gid=a+b;branch=0101;op=try;attempt=1;mode=tcc")
        self.check({"gid": "a", "branch_id": "00", "op": "msg", "trans_type": "msg"}, "", "op=msg;attempt=1;mode=msg")
        metadata = {"dtm-gid": "a", "dtm-branch_id": "01", "dtm-op": "cancel", "dtm-trans_type": "tcc"}
        self.assertEqual(Branch.from_request(None, metadata).key, "a/01/cancel")

    def test_a_path_may_have_parameters_of_the_same_names(self):
        query = "op=fast&gid=a&branch_id=01&op=action&trans_type=saga"
        self.check(query, "", "gid=a;branch=01;op=action;")
        self.check(query, LINE, LINE)
        self.check("op=fast&gid=a", LINE, "differ in `op`")

    def test_what_is_missing_or_wrong_is_named(self):
        self.check("", "", "names no transaction")
        self.check("branch_id=01", "", "names no transaction")
        self.check("gid=a", "", "`branch_id`")
        self.check("gid=a&branch_id=01", "", "`op`")
        self.check("gid=a&branch_id=01&op=action", "", "`trans_type`")
        self.check("gid=a&branch_id=01&op=act&trans_type=saga", "", "`saga` has no `act`")
        self.check("gid=a&branch_id=01&op=action&trans_type=sage", "", "`sage` is no mode")
        self.check("gid=a+b&branch_id=01&op=action&trans_type=saga", "", "`a b` is no transaction id")
        self.check(f"gid={'x' * 129}&branch_id=01&op=action&trans_type=saga", "", "1 to 128 bytes")
        self.check("gid=b", LINE, "differ in `gid`")
        self.check("branch_id=02", LINE, "differ in `branch`")
        self.check("", LINE.replace("3", "x"), "`x` is no number of an attempt")
        self.check("", LINE + ";deadline=soon", "`soon` is no deadline")

    def test_answers_have_the_status_and_the_fields_that_the_coordinator_knows(self):
        for answer, status, headers in [
            (Answer.done(), 200, {}),
            (Answer.json({"a": 1}), 200, {"Content-Type": "application/json"}),
            (Answer.refused("sold out"), 409, {"Content-Type": "text/plain; charset=utf-8"}),
            (Answer.working(), 425, {}),
            (Answer.read_only(), 200, {"Flotilla-Vote": "read_only"}),
            (Answer.heuristic("commit", "committed"), 200, {"Flotilla-Outcome": "committed"}),
            (Answer.heuristic("commit", "aborted"), 409, {"Flotilla-Outcome": "aborted"}),
            (Answer.heuristic("cancel", "aborted"), 200, {"Flotilla-Outcome": "aborted"}),
            (Answer.heuristic("rollback", "mixed"), 409, {"Flotilla-Outcome": "mixed"}),
        ]:
            self.assertEqual((answer.status, answer.headers), (status, headers))


if __name__ == "__main__":
    unittest.main()
