"""The page of a billion pictures has the figures that billion.py computes, and its simulations agree with what is known without them."""

import unittest
from pathlib import Path

import billion
from paper import numbers
from paper.commits import Objects, alone, simulate
from paper.looks import COMPOSITES, EMBEDDINGS, Part, lists
from paper.schedule import Workers, pulled, shards

PAGE = Path(__file__).resolve().parent.parent / "docs" / "scale-billion.md"
# Four workers, ten seconds of work for each.
CREW = Workers(count=4, units=40, seconds=1.0, spread=0.0, slow=0.0, slowness=1.0, failures=0.0, again=5.0, noticed=3.0)


class ThePage(unittest.TestCase):
    def test_it_has_the_figures_that_are_computed(self):
        for path, text in billion.made(PAGE).items():
            self.assertEqual(path.read_text(), text, f"write {path.name} anew: python3 benches/billion.py --docs {PAGE}")


class Deals(unittest.TestCase):
    def test_without_failures_all_ways_take_the_same(self):
        for found in [shards(CREW, 0), pulled(CREW, 0, False), pulled(CREW, 0, True)]:
            self.assertEqual((found.makespan, found.failures, found.lost, found.twice), (10.0, 0, 0.0, 0))
            self.assertAlmostEqual(found.idle, 0.0)

    def test_a_slow_worker_holds_up_its_shard_and_not_a_list(self):
        crew = Workers(**{**vars(CREW), "slow": 0.25, "slowness": 2.0})
        self.assertEqual(shards(crew, 0).makespan, 20.0)
        self.assertEqual(pulled(crew, 0, False).makespan, 12.0)

    def test_every_unit_is_done_however_often_workers_fail(self):
        crew = Workers(**{**vars(CREW), "failures": 0.1})
        for seed in range(20):
            for found in [shards(crew, seed), pulled(crew, seed, False), pulled(crew, seed, True)]:
                self.assertGreater(found.makespan, 10.0)
                computed = (1 - found.idle) * found.makespan * crew.count
                # Copies that are under way at the end are in no figure.
                self.assertAlmostEqual(computed, 40.0 + found.lost + found.twice, delta=1e-6)
                self.assertLessEqual(found.lost, found.failures * 1.0)


class Names(unittest.TestCase):
    OBJECTS = Objects(latency=0.1, bandwidth=100.0)

    def test_a_writer_alone_puts_each_part_once(self):
        for objects in [self.OBJECTS, Objects(latency=0.1, bandwidth=100.0, pages=20)]:
            found = simulate(1, 1.0, 90.0, objects, 200, 0.0, 0)
            self.assertEqual(found.puts, found.commits)
            self.assertAlmostEqual(found.computing, alone(1.0, 90.0, objects, False), delta=0.01)

    def test_puts_of_a_partition_go_in_turn(self):
        for writers in [8, 64]:
            found = simulate(writers, 1.0, 90.0, self.OBJECTS, 200, 0.0, 0)
            self.assertLessEqual(found.commits / found.seconds, 1 / self.OBJECTS.put(90.0))
            self.assertGreater(found.puts / found.commits, writers / 3)

    def test_each_writer_reads_the_footers_of_all_others(self):
        # Puts take next to nothing: of 8 writers, each reads seven footers while it computes one part.
        quick = {"latency": 0.1, "bandwidth": 1e9}
        without, read = (simulate(8, 10.0, 1.0, Objects(**quick, first=first), 400, 0.0, 0) for first in [0.0, 2.0])
        of_a_part = lambda found: 8 * found.seconds / found.commits
        self.assertAlmostEqual(of_a_part(read) - of_a_part(without), 7 * 2 * 0.1, delta=0.2)


class Looks(unittest.TestCase):
    # What was counted: parts of 64 rows.
    SMALL = Part("embeddings", 64, 17_573)

    def test_an_executor_asks_as_often_as_was_counted(self):
        self.assertEqual(self.SMALL.footer, 2637)
        self.assertAlmostEqual(self.SMALL.look(26).requests, numbers.COUNTED_GETS, delta=0.1)
        without = tuple(first + 2 * last for first, last in zip(numbers.FILLING, numbers.FINISHING))
        self.assertEqual(without, numbers.COUNTED_LISTS)
        self.assertEqual(lists(1)[0], sum(without) + sum(numbers.LACKING))

    def test_ids_of_a_part_cost_a_request_for_each_row_group(self):
        self.assertAlmostEqual(self.SMALL.ids.requests, 2, delta=0.1)
        self.assertAlmostEqual(EMBEDDINGS.ids.requests, 1 + 19, delta=0.3)
        # 2,048 ids are more than a block.
        self.assertAlmostEqual(COMPOSITES.ids.requests, 1 + 2, delta=0.1)

    def test_footers_of_few_parts_are_read_once(self):
        self.assertEqual(EMBEDDINGS.look(numbers.RANGED), EMBEDDINGS.glance)
        self.assertGreater(EMBEDDINGS.look(numbers.RANGED + 1).requests, EMBEDDINGS.glance.requests + 1)


if __name__ == "__main__":
    unittest.main()
