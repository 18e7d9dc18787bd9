"""Mistakes that somebody could make, planted into the real code to see that the simulation finds each of them.

A simulation that finds none proves nothing. ``test_planted_bugs.py`` plants one at a time and wants it to be found, in
a bounded number of seeds, by the name of one of the promises beside it.
"""

from collections.abc import Callable

import pytest

from tests.simulation.bugs import deciding, keeping, sending

Plant = Callable[[pytest.MonkeyPatch], None]

#: Each mistake, and the promises by one of which it is to be found. Which of them is first to tell depends on the seed.
PLANTED: dict[Plant, frozenset[str]] = {
    # what is taken in and written down
    keeping.acknowledge_before_the_commit: frozenset({"acknowledged means committed"}),
    keeping.send_what_was_never_committed: frozenset({"what is sent was committed"}),
    keeping.look_for_duplicates_in_all_accounts: frozenset({"what was accepted is there once"}),
    keeping.look_for_endpoints_in_all_accounts: frozenset({"identities do not cross accounts"}),
    keeping.overlook_an_endpoint: frozenset({"every endpoint that wants an event gets a delivery"}),
    keeping.lose_what_nobody_can_use: frozenset({"what nobody can use is kept"}),
    keeping.settle_without_the_lease: frozenset({"a lease is respected", "states change as in the picture"}),
    keeping.drop_the_log_on_a_database_fault: frozenset({"the wire shows what the log says"}),
    keeping.count_no_attempts: frozenset({"the row counts what was made"}),
    keeping.count_what_another_process_holds: frozenset({"statistics count what happened"}),
    keeping.release_to_nobody: frozenset({"nothing is stuck", "states change as in the picture"}),
    keeping.claim_what_others_hold: frozenset({"a lease is respected"}),
    keeping.notice_late_what_is_due: frozenset({"not late when nothing is broken"}),
    keeping.lease_for_less_than_a_request_takes: frozenset({"never twice at a time"}),
    keeping.lease_for_ever: frozenset({"nothing is stuck"}),
    keeping.erase_what_is_on_its_way: frozenset({"what was erased is gone"}),
    # what goes out
    sending.send_without_asking_whose_it_is: frozenset({"who sends has the lease"}),
    sending.send_what_was_cancelled: frozenset({"who sends has the lease"}),
    sending.send_to_what_is_switched_off: frozenset({"sent to where the endpoint is, signed with its secret"}),
    sending.send_to_the_endpoint_as_it_was_first_seen: frozenset(
        {"sent to where the endpoint is, signed with its secret"}
    ),
    sending.sign_with_the_old_secret_first: frozenset({"the newest secret comes first"}),
    sending.never_try_the_old_secret: frozenset({"a valid secret is not refused to the end"}),
    sending.limit_rates_in_each_process: frozenset({"a rate limit holds over all processes"}),
    sending.let_two_probes_out_at_once: frozenset({"an open circuit lets one out at a time"}),
    sending.forget_how_many_may_go_to_one_endpoint: frozenset({"limits hold"}),
    sending.forget_how_many_may_go_at_a_time: frozenset({"limits hold"}),
    sending.forget_how_much_may_be_held: frozenset({"memory is bounded"}),
    sending.forget_to_give_places_back: frozenset({"places are given back"}),
    # what follows from it
    deciding.retry_too_early: frozenset({"planned as promised", "never before its time"}),
    deciding.give_up_early: frozenset({"every end is explained"}),
    deciding.ignore_how_long_a_receiver_asks_to_wait: frozenset({"planned as promised", "never before its time"}),
    deciding.let_a_retry_by_hand_eat_from_the_schedule: frozenset({"the row counts what was made"}),
    deciding.lose_the_time_of_the_next_attempt: frozenset({"nothing is stuck", "states change as in the picture"}),
}
