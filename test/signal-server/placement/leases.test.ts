import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Leases } from '../../../signal-server/placement/leases.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { idOf, leaseOf } from '../../support/leases.ts';

const clients = ['one', 'two'];
const volunteers = [idOf('1'), idOf('2'), idOf('3'), idOf('4')];

it('count what each client holds, whatever replicas say and in whatever order', () => {
  const steps = fc.array(fc.tuple(fc.nat(3), fc.nat(3), fc.nat(3)), { maxLength: 60 });
  fc.assert(
    fc.property(steps, (acts) => {
      const leases = new Leases(new FakeClock());
      const given = volunteers.map((_, i) =>
        leaseOf({ requester: idOf('9'), stages: [[volunteers[i]!, volunteers[(i + 1) % 4]!]] }),
      );
      const running = new Set<number>();
      for (const [act, at, who] of acts) {
        const { route } = given[at]!;
        if (act === 0 && !running.has(at)) leases.take(route, 'answer', new Map(), 0, clients[at % 2]);
        if (act === 0) running.add(at);
        if (act === 1) leases.opened(route.session, volunteers[who]!);
        if (act === 2) leases.vacated(route.session, volunteers[who]!);
        if (act === 3) {
          leases.end(route.session);
          running.delete(at);
        }
      }
      const held = clients.map((client) => leases.heldBy(client));
      expect(held.map(({ sessions }) => sessions)).toEqual(
        [0, 1].map((side) => [...running].filter((at) => at % 2 === side).length),
      );
      const slots = volunteers.map((id) => leases.running(id)).reduce((a, b) => a + b);
      expect(held.reduce((sum, each) => sum + each.slots, 0)).toBe(slots);
      for (const { slots: all, unopenedSlots } of held) expect(unopenedSlots >= 0 && unopenedSlots <= all).toBe(true);
      for (const at of running) leases.end(given[at]!.route.session);
      expect(clients.map((client) => leases.heldBy(client).slots)).toEqual([0, 0]);
      expect(volunteers.map((id) => leases.running(id))).toEqual([0, 0, 0, 0]);
    }),
    { numRuns: 50 },
  );
});
