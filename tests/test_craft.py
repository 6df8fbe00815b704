"""Names of samplers and schedules: every name someone may bring leads to ours, and impossible pairs get a sentence."""

from __future__ import annotations

import pytest

from webapp import craft


@pytest.mark.parametrize("name", craft.SAMPLERS)
def test_our_own_names_are_known_in_any_case_and_spacing(name: str) -> None:
    for written in (name, name.upper(), name.lower().replace(" ", "_"), f"  {name.replace(' ', '   ')} "):
        assert craft.split(written) == (written, "")
        assert craft.sampler(written) == name


@pytest.mark.parametrize("name", craft.SAMPLERS)
@pytest.mark.parametrize("schedule", craft.SCHEDULES)
def test_a_schedule_may_follow_the_name(name: str, schedule: str) -> None:
    for written in (f"{name} {schedule}", f"{name} {schedule.replace('_', ' ').title()}", f"{name}_{schedule}".lower()):
        assert craft.split(written) == (name, schedule)


@pytest.mark.parametrize(
    ("written", "name", "schedule"),
    [
        ("k_euler_a", "Euler a", ""),
        ("K_EULER_ANCESTRAL", "Euler a", ""),
        ("EulerAncestralDiscreteScheduler", "Euler a", ""),
        ("k_dpmpp_2m", "DPM++ 2M", ""),
        ("sample_dpmpp_2m", "DPM++ 2M", ""),
        ("DPMSolverMultistepScheduler", "DPM++ 2M", ""),
        ("DPMSolverMultistep", "DPM++ 2M", ""),
        ("k_dpmpp_2m_ka", "DPM++ 2M", "karras"),
        ("DPM++2MKarras", "DPM++ 2M", "karras"),
        ("dpmpp_2m_sde_gpu", "DPM++ 2M SDE", ""),
        ("k_dpmpp_2m_sde_heun_exp", "DPM++ 2M SDE Heun", "exponential"),
        ("DPM++ 3M SDE Exponential", "DPM++ 3M SDE", "exponential"),
        ("DPMSolverSDEScheduler", "DPM++ SDE", ""),
        ("DPMSolverSinglestepScheduler", "DPM++ 2S", ""),
        ("KDPM2DiscreteScheduler", "DPM2", ""),
        ("KDPM2AncestralDiscreteScheduler", "DPM2 a", ""),
        ("k_dpm_2_a_ka", "DPM2 a", "karras"),
        ("sample_dpm_2_ancestral", "DPM2 a", ""),
        ("LMSDiscrete", "LMS", ""),
        ("euler_k", "Euler", "karras"),
        ("PLMS", "PNDM", ""),
        ("uni_pc_bh2", "UniPC", ""),
        ("UniPCMultistepScheduler", "UniPC", ""),
        ("DEISMultistepScheduler", "DEIS", ""),
        ("sa_solver", "SA-Solver", ""),
        ("Euler SGM Uniform", "Euler", "sgm_uniform"),
    ],
)
def test_other_programs_names(written: str, name: str, schedule: str) -> None:
    found, its_schedule = craft.split(written)
    assert (craft.sampler(found), its_schedule) == (name, schedule)


@pytest.mark.parametrize("name", ["", " ", "k", "Foo", "Foo Karras", "DPM++ 2S a", "DPM adaptive", "karras", "ê"])
def test_unknown_samplers_pass_split_and_are_refused_with_the_list(name: str) -> None:
    assert craft.split(name) == (name, "")
    with pytest.raises(ValueError, match=r"not one I know.*Euler a.*UniPC"):
        craft.sampler(name)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("", ""),
        ("  ", ""),
        ("Automatic", ""),
        ("Karras", "karras"),
        ("SGM Uniform", "sgm_uniform"),
        ("sgm_uniform", "sgm_uniform"),
        ("Uniform", "linspace"),
        ("Simple", "trailing"),
        ("Exponential", "exponential"),
        ("Beta", "beta"),
    ],
)
def test_schedules_names(written: str, name: str) -> None:
    assert craft.schedule(written) == name


@pytest.mark.parametrize("name", ["Foo", "?", "align_your_steps"])
def test_unknown_schedules_are_refused_with_the_list(name: str) -> None:
    with pytest.raises(ValueError, match=r"not one I know.*karras.*linspace"):
        craft.schedule(name)


def test_impossible_pairs_get_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"^DDIM cannot use the karras schedule\. It can use: trailing, leading\.$"):
        craft.check("DDIM", "karras")
    with pytest.raises(ValueError, match=r"^LCM cannot use the karras schedule\. It has its own and can use no other\.$"):
        craft.check("LCM", "karras")


@pytest.mark.parametrize("name", craft.SAMPLERS)
def test_check_says_what_the_table_says(name: str) -> None:
    craft.check(name, "")
    for schedule in craft.SCHEDULES:
        if schedule in craft.SUPPORTED[name]:
            craft.check(name, schedule)
        else:
            with pytest.raises(ValueError, match=name.replace("+", r"\+")):
                craft.check(name, schedule)
