import type { PeerId } from '#shared/ids.ts';
import { MAX_PROOF_CHARACTERS, MAX_PROOFS, type KeptFault, type Suspension, type TrustStore } from '../trust-store.ts';

interface Earned {
  spans: number;
  readonly bySource: Map<PeerId, number>;
}

interface Kept {
  readonly fault: KeptFault;
  proof: string | null;
}

export function createMemoryTrustStore(): TrustStore {
  const earned = new Map<PeerId, Map<string, Earned>>();
  /** When each requester complained of a volunteer. */
  const complaints = new Map<PeerId, Map<PeerId, number>>();
  const suspensions = new Map<PeerId, Suspension>();
  /** The newest last. */
  const faults: Kept[] = [];

  const keptOf = (session: string, volunteer: PeerId): Kept | undefined =>
    faults.find(({ fault }) => fault.session === session && fault.volunteer === volunteer);
  const reset = (volunteer: PeerId): void => {
    earned.delete(volunteer);
    complaints.delete(volunteer);
  };
  return {
    async credit(volunteer, numericClass, requester, spans) {
      const classes = earned.get(volunteer) ?? new Map<string, Earned>();
      earned.set(volunteer, classes);
      const there = classes.get(numericClass) ?? { spans: 0, bySource: new Map<PeerId, number>() };
      classes.set(numericClass, there);
      there.spans += spans;
      there.bySource.set(requester, (there.bySource.get(requester) ?? 0) + spans);
    },
    async forgetSources(volunteer, numericClass) {
      earned.get(volunteer)?.get(numericClass)?.bySource.clear();
    },
    async complain(volunteer, requester, atMs) {
      const ofVolunteer = complaints.get(volunteer) ?? new Map<PeerId, number>();
      complaints.set(volunteer, ofVolunteer.set(requester, atMs));
    },
    async reset(volunteer) {
      reset(volunteer);
    },
    async convict(fault, proof, suspension) {
      if (keptOf(fault.session, fault.volunteer) !== undefined) throw new Error('the fault is on record already');
      faults.push({ fault: copyOf(fault), proof: proof.length <= MAX_PROOF_CHARACTERS ? proof : null });
      const old = faults.at(-1 - MAX_PROOFS);
      if (old !== undefined) old.proof = null;
      reset(fault.volunteer);
      suspensions.set(fault.volunteer, { ...suspension });
    },
    async prune(beforeMs) {
      for (const ofVolunteer of complaints.values()) {
        for (const [requester, atMs] of ofVolunteer) if (atMs < beforeMs) ofVolunteer.delete(requester);
      }
    },
    spans: (volunteer, numericClass) => earned.get(volunteer)?.get(numericClass)?.spans ?? 0,
    spansFrom: (volunteer, numericClass, requester) =>
      earned.get(volunteer)?.get(numericClass)?.bySource.get(requester) ?? 0,
    complaints: (volunteer, sinceMs) =>
      [...(complaints.get(volunteer)?.values() ?? [])].filter((atMs) => atMs >= sinceMs).length,
    suspension(volunteer) {
      const there = suspensions.get(volunteer);
      return there === undefined ? null : { ...there };
    },
    suspendedAt: (atMs) => [...suspensions.values()].filter(({ untilMs }) => untilMs > atMs).length,
    isProven: (session, volunteer) => keptOf(session, volunteer) !== undefined,
    faults: (count) =>
      faults
        .slice(-count)
        .reverse()
        .map(({ fault }) => copyOf(fault)),
    proof: async (session, volunteer) => keptOf(session, volunteer)?.proof ?? null,
  };
}

function copyOf(fault: KeptFault): KeptFault {
  return { ...fault, range: { ...fault.range } };
}
