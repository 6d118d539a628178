"""Compares `tutti statistics` with MusPy, on random music and on the files given.

usage: agreement.py TUTTI [FILE.mid ...]
"""

import json
import math
import random
import subprocess
import sys

import muspy

BEAT = 16  # positions; then tutti's positions of a measure are MusPy's time steps


def random_music(seed):
    """Tracks of chords, lines and drums, with rests; no pitch of a track overlaps itself."""
    rng = random.Random(seed)
    music = muspy.Music(resolution=BEAT, tempos=[muspy.Tempo(time=0, qpm=120)])
    for program in range(rng.randint(1, 4)):
        is_drum = rng.random() < 0.2 and program > 0
        track = muspy.Track(program=program, is_drum=is_drum)
        scale = rng.sample(range(12), rng.randint(3, 12))
        time, ends = rng.randint(0, 20), {}
        for _ in range(rng.randint(5, 120)):
            pitch = 12 * rng.randint(3, 6) + rng.choice(scale)
            duration = rng.randint(1, 60)
            if time >= ends.get(pitch, 0):
                track.notes.append(
                    muspy.Note(time=time, pitch=pitch, duration=duration, velocity=64))
                ends[pitch] = time + duration
            time += rng.choice([0, 0, 4, 8, 16, 3, 150])
        music.tracks.append(track)
    return music


def expected_metrics(music):
    found = {
        "pitches": muspy.n_pitches_used(music),
        "pitch_range": muspy.pitch_range(music),
        "pitch_class_entropy": muspy.pitch_class_entropy(music),
        "scale_consistency": muspy.scale_consistency(music),
        "polyphony": muspy.polyphony(music),
        "polyphony_rate": muspy.polyphony_rate(music, threshold=1),
        "empty_beat_rate": muspy.empty_beat_rate(music),
    }
    if music.resolution == BEAT:
        found["groove_consistency"] = muspy.groove_consistency(music, 4 * BEAT)
    return found


def tutti_metrics(tutti, path):
    out = subprocess.run([tutti, "statistics", path, "--ignore-pedal", "--json"],
                         check=True, capture_output=True).stdout
    metrics = json.loads(out)["groups"][0]["metrics"]
    return {name: values["mean"] for name, values in metrics.items()}


def compare(tutti, path, music):
    """The names of the metrics that differ, with both values."""
    found = tutti_metrics(tutti, path)
    differences = []
    for name, expected in expected_metrics(music).items():
        value = math.nan if found[name] is None else found[name]
        if not (math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-12)
                or math.isnan(value) and math.isnan(expected)):
            differences.append(f"{name} {value}, MusPy {expected}")
    return differences


def main(tutti, paths):
    pieces = [(path, muspy.read_midi(path)) for path in paths]
    for seed in range(0 if paths else 40):
        music, path = random_music(seed), f"random-{seed}.mid"
        muspy.write_midi(path, music)
        pieces.append((path, music))
    failures = 0
    for path, music in pieces:
        differences = compare(tutti, path, music)
        failures += bool(differences)
        if differences:
            print(f"{path}: " + "; ".join(differences))
    print(f"{len(pieces)} pieces, {failures} differ from MusPy {muspy.__version__}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
