"""The checks of the core tier pass on a healthy driver, and each fails on one with its defect."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

import broken_looks as looks
import broken_names as names
import broken_races as races
import broken_storage as storage
import broken_words as words
from broken_storage import PASSWORD, PlainStorage, memory_rig
from rexray.drivers import StorageDriver
from rexray.testing.kit.check import CORE, Check
from rexray.testing.kit.rig import StorageRig
from rexray.testing.kit.running import Result, run_all
from rexray.testing.kit.suites import STORAGE
from rexray.testing.memory.platform import MemoryPlatform
from rexray.testing.memory.settings import MemorySettings
from rexray.testing.memory.storage import MemoryStorage

MODULES = ("creating", "removing", "listing", "naming", "racing", "recovering", "failing", "keeping", "declaring")
CHECKS = tuple(check for check in STORAGE.checks() if check.run.__module__.rpartition(".")[2] in MODULES)

CAUGHT: Mapping[type[StorageDriver], tuple[str, ...]] = {
    storage.Small: ("create_makes_a_volume_of_the_name_and_size",),
    storage.NewEachTime: ("create_said_ten_times_makes_one_volume",),
    storage.Boastful: ("create_returns_what_a_look_up_tells",),
    storage.AttachesAtOnce: ("a_new_volume_is_attached_nowhere",),
    storage.Dirty: ("a_new_volume_is_blank",),
    storage.GrowsItsLikes: ("create_leaves_other_volumes_as_they_are",),
    storage.AnythingWillDo: (
        "create_of_another_size_is_refused",
        "create_of_a_smaller_size_is_refused",
        "create_of_what_is_there_with_another_type_is_refused",
        "create_of_what_is_there_in_another_zone_is_refused",
        "creates_of_two_sizes_at_once_make_one_volume",
        "create_after_a_restart_is_the_same_volume",
    ),
    storage.NothingByDefault: ("create_without_a_size_has_the_platforms_own",),
    storage.AbsoluteSizes: ("create_of_a_negative_size_is_refused",),
    storage.Clamps: ("create_beyond_what_can_be_made_is_refused",),
    storage.IgnoresLimits: ("create_keeps_within_its_limit",),
    storage.LimitsTooEarly: ("create_takes_a_limit_that_it_can_keep",),
    storage.IgnoresTypes: ("create_of_an_unknown_type_is_refused",),
    storage.IgnoresZones: ("create_of_an_unknown_zone_is_refused",),
    storage.IgnoresOptions: ("create_of_an_unknown_option_is_refused",),
    storage.TakesOneSource: ("create_of_two_sources_at_once_is_refused",),
    storage.EmptyCopies: (
        "create_of_a_volume_that_cannot_be_copied_makes_nothing",
        "create_of_a_snapshot_that_is_not_there_makes_nothing",
    ),
    storage.InTheClear: ("create_of_an_encrypted_volume_is_not_ignored",),
    storage.LeavesRubbish: ("a_create_that_was_refused_can_be_said_rightly",),
    storage.HalfMade: ("a_create_that_was_killed_and_said_again_leaves_one_volume",),
    storage.KeepsAll: ("a_removed_volume_is_gone",),
    storage.OnceOnly: ("remove_said_ten_times_succeeds", "remove_of_what_never_was_succeeds"),
    storage.RemovesLikes: ("remove_leaves_volumes_of_like_names",),
    storage.StripsIds: ("remove_leaves_what_its_id_only_resembles", "an_id_that_only_resembles_one_is_not_found"),
    storage.RemovesByName: ("remove_of_a_name_is_no_remove_of_its_volume",),
    storage.ForceDetaches: ("remove_by_force_is_whole_or_nothing",),
    storage.WasteBin: ("a_volume_made_again_is_a_new_one", "a_volume_made_again_has_none_of_the_data"),
    storage.RemembersNames: ("remove_said_again_leaves_the_new_volume_of_the_name",),
    storage.WipesAll: ("remove_leaves_the_data_of_other_volumes",),
    storage.HalfRemoved: ("a_remove_that_was_killed_and_said_again_removes",),
    looks.ListsAreLists: ("lists_are_iterators",),
    looks.ListsAtOnce: ("the_list_begins_before_it_is_whole",),
    looks.NaiveTimes: ("every_volume_of_the_list_is_well_formed",),
    looks.PagesOverlap: ("the_list_has_every_id_once",),
    looks.Flickers: ("lists_said_again_have_the_same_volumes",),
    looks.LooksUpHalf: ("a_volume_of_the_list_can_be_looked_up", "volumes_named_finds_what_the_list_has"),
    looks.NamedOrNotFound: ("volumes_named_of_an_unknown_name_is_empty",),
    looks.NamedByPattern: ("volumes_named_of_a_hostile_name_finds_nothing", "volumes_named_is_exact"),
    looks.AttachedIsAll: ("attached_agrees_with_the_list", "attached_to_an_unknown_instance_is_empty"),
    looks.UnknownIsInvalid: ("an_unknown_id_is_not_found",),
    looks.UnknownIsPythons: ("a_hostile_id_is_not_found",),
    looks.NamesWin: ("a_name_is_no_id_of_another_volume",),
    looks.TwinInstances: ("instances_are_told_apart",),
    looks.EverySecondLacks: ("two_drivers_list_the_same",),
    looks.LastPageDropped: ("many_volumes_are_all_in_the_list",),
    looks.CallsPerVolume: ("a_volume_costs_the_list_no_call",),
    looks.PagesByNumber: ("the_list_stands_while_others_come_and_go",),
    names.SecondCharacterOn: ("a_name_of_one_character_is_kept",),
    names.Numbers: ("a_name_of_digits_is_kept",),
    names.ShortNames: ("a_name_of_128_bytes_is_kept",),
    names.AsciiNames: ("a_name_of_two_byte_characters_is_kept", "a_name_of_three_byte_characters_is_kept"),
    names.BasicPlane: ("a_name_of_four_byte_characters_is_kept",),
    names.SqueezesBlanks: ("names_with_blanks_and_quotes_are_kept", "names_that_differ_in_blanks_are_two"),
    names.ShellWords: ("names_with_the_shells_characters_are_kept",),
    names.Unescapes: ("names_with_other_languages_characters_are_kept",),
    names.LeftOff: ("names_that_begin_with_a_dash_or_a_dot_are_kept",),
    names.Stems: ("names_that_end_as_files_do_are_kept",),
    names.CaseFolds: ("names_that_differ_in_case_are_two",),
    names.Normalizes: (
        "names_that_differ_in_their_normal_form_are_two",
        "names_that_differ_in_what_nobody_sees_are_two",
    ),
    names.Beginnings: ("long_names_that_begin_alike_are_two",),
    names.Endings: ("long_names_that_end_alike_are_two",),
    names.Nameless: ("a_volume_without_a_name_is_refused",),
    names.Paths: ("names_that_are_paths_harm_nothing",),
    names.CStrings: ("names_with_control_characters_harm_nothing",),
    names.Encodes: ("names_that_are_no_text_harm_nothing",),
    names.CutsOff: ("names_that_are_too_long_harm_nothing",),
    names.RawRefusals: ("a_name_that_was_refused_says_so_in_a_line",),
    races.LooksThenMakes: ("creates_of_one_name_at_once_make_one_volume",),
    races.LocksForItself: ("creates_by_two_drivers_at_once_make_one_volume",),
    races.MixesThreadsUp: (
        "creates_of_many_names_at_once_make_them_all",
        "threads_get_the_answers_to_their_own_questions",
    ),
    races.LooksThenRemoves: ("removes_at_once_all_succeed",),
    races.LooksTwice: (
        "a_create_beside_a_remove_leaves_one_volume_or_none",
        "a_look_up_beside_a_remove_tells_all_or_nothing",
    ),
    races.AttachesWhatIsGone: ("an_attach_beside_a_remove_is_one_or_the_other",),
    races.KnowsItsOwn: (
        "a_restarted_driver_sees_the_volumes",
        "a_restarted_driver_sees_the_attachments",
        "a_restarted_driver_detaches_what_another_attached",
    ),
    races.Salted: ("long_names_are_the_same_after_a_restart",),
    races.Caches: ("a_driver_sees_what_another_changes", "create_after_another_removed_it_makes_it_again"),
    races.StartsAfresh: ("making_a_driver_changes_nothing",),
    looks.Anonymous: (
        "the_error_of_an_unknown_id_names_it",
        "the_error_of_a_volume_that_differs_names_it",
        "the_error_of_a_volume_in_use_names_it_and_its_holder",
        "the_error_of_an_unknown_option_names_it",
        "the_error_of_an_unknown_type_names_it",
        "the_error_of_an_unknown_zone_names_it",
    ),
    looks.BreaksOnce: ("calls_that_failed_leave_the_driver_usable",),
    looks.AsksAtStart: ("a_driver_is_made_while_its_platform_is_down", "make_calls_no_platform"),
    looks.TroubleIsAnAnswer: (
        "a_platform_that_is_unreachable_is_no_empty_one",
        "a_platform_that_is_unreachable_has_not_lost_a_volume",
        "a_platform_that_is_unreachable_makes_nothing",
        "a_platform_that_is_unreachable_has_removed_nothing",
    ),
    looks.RefusalIsAnAnswer: (
        "a_platform_that_refuses_the_credentials_says_so",
        "a_platform_that_refuses_the_credentials_changes_nothing",
    ),
    looks.TriesForEver: ("a_platform_that_hangs_holds_up_no_reader", "a_platform_that_hangs_holds_up_no_change"),
    looks.LeavesThreads: (
        "calls_that_hang_leave_nothing_behind",
        "calls_that_fail_leave_nothing_behind",
        "calls_leave_nothing_behind",
    ),
    words.HasTextPassword: ("settings_that_sound_secret_are_secrets",),
    words.ShowsSettings: ("secrets_are_not_in_the_settings_repr",),
    words.ShowsItself: ("secrets_are_not_in_the_drivers_repr",),
    words.KeepsPlainly: (
        "secrets_are_not_in_the_drivers_attributes",
        "secrets_are_not_in_what_making_a_driver_says",
    ),
    words.ListsPasswords: ("secrets_are_not_in_what_the_platform_lists",),
    words.LogsCalls: ("secrets_are_not_in_what_reading_says",),
    words.RunsPrograms: ("secrets_are_not_in_what_changing_says",),
    words.ChainsErrors: (
        "secrets_are_not_in_what_a_refusal_of_them_says",
        "secrets_are_not_in_what_an_unreachable_platform_leads_to",
    ),
    words.TwoWords: ("the_name_is_a_word",),
    words.Loose: (
        "the_settings_are_frozen",
        "every_setting_is_declared_whole",
        "settings_do_not_share_their_names",
        "defaults_are_valid",
        "settings_that_are_shown_can_be_said",
    ),
    words.OddOptions: ("create_options_are_words_with_help",),
    words.SilentlyUnviable: ("viable_says_whether_and_why_not",),
    words.SlowlyViable: ("viable_is_quick", "make_is_quick"),
    words.Lenient: ("make_refuses_settings_by_name",),
    words.Unfinished: ("nothing_of_the_contract_is_missing",),
    words.OtherWords: ("methods_take_what_the_contract_says",),
    words.Undeclared: ("capabilities_are_declared_once",),
    words.PolicyOfNothing: ("the_policy_needs_no_credentials",),
}
DEFECTS = {name: driver for driver, checks in CAUGHT.items() for name in checks}

each_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)


def _run(check: Check[StorageRig], rig: StorageRig) -> Result:
    (result,) = run_all([check], lambda: rig)
    return result


def _healthy(check: Check[StorageRig]) -> type[StorageDriver]:
    """The driver of which the broken one differs by its defect alone."""
    return PlainStorage if issubclass(DEFECTS[check.name], PlainStorage) else MemoryStorage


def test_there_is_a_defect_for_every_check() -> None:
    assert {check.name for check in CHECKS} == set(DEFECTS)
    assert len(DEFECTS) == sum(map(len, CAUGHT.values()))


def test_every_defect_says_what_it_is() -> None:
    assert not [driver for driver in CAUGHT if not driver.__doc__]


def test_the_core_has_its_checks() -> None:
    assert sum(check.tier == CORE for check in CHECKS) >= 60
    assert sum(check.reads_only for check in CHECKS) >= 20
    assert not [check.name for check in CHECKS if not check.help.endswith(".")]


@each_check
def test_a_healthy_driver_passes_and_what_is_others_stays(check: Check[StorageRig], tmp_path: Path) -> None:
    rig = memory_rig(tmp_path, _healthy(check))
    platform = MemoryPlatform.of(rig.sources.load(MemorySettings))
    before = platform.state()
    result = _run(check, rig)
    assert (result.outcome, result.reason) == ("passed", "")
    after = platform.state()
    assert (after.volumes, after.snapshots, after.groups) == (before.volumes, before.snapshots, before.groups)
    if check.reads_only:
        assert after == before


@each_check
def test_a_driver_with_the_defect_fails(check: Check[StorageRig], tmp_path: Path) -> None:
    driver = DEFECTS[check.name]
    result = _run(check, memory_rig(tmp_path, driver))
    assert result.outcome == "failed", f"{driver.__doc__}: {result}"
    assert "could not be removed" not in result.reason
    assert PASSWORD not in result.reason
