import type { PeerId } from '#shared/ids.ts';
import {
  MAX_PROOF_CHARACTERS,
  MAX_PROOFS,
  type EarnedSpans,
  type HiddenFault,
  type KeptFault,
  type Suspension,
  type TrustStore,
} from '../trust-store.ts';

const NOTHING: EarnedSpans = { own: 0, others: 0, agreed: 0, firstWitnessedMs: null };

interface Kept {
  readonly fault: KeptFault;
  proof: string | null;
}

export function createMemoryTrustStore(): TrustStore {
  const earned = new Map<PeerId, Map<string, EarnedSpans>>();
  const hiddenFaults = new Map<PeerId, HiddenFault>();
  const suspensions = new Map<PeerId, Suspension>();
  /** The newest last. */
  const faults: Kept[] = [];

  const keptOf = (session: string, volunteer: PeerId): Kept | undefined =>
    faults.find(({ fault }) => fault.session === session && fault.volunteer === volunteer);
  return {
    async credit(volunteer, numericClass, source, spans, atMs) {
      const classes = earned.get(volunteer) ?? new Map<string, EarnedSpans>();
      earned.set(volunteer, classes);
      const there = classes.get(numericClass) ?? NOTHING;
      const firstWitnessedMs = there.firstWitnessedMs ?? (source === 'agreed' ? null : atMs);
      classes.set(numericClass, { ...there, [source]: there[source] + spans, firstWitnessedMs });
    },
    async failHidden(volunteer, fault) {
      const classes = earned.get(volunteer) ?? new Map<string, EarnedSpans>();
      for (const [name, { agreed }] of classes) classes.set(name, { ...NOTHING, agreed });
      hiddenFaults.set(volunteer, { ...fault });
    },
    async convict(fault, proof, suspension) {
      if (keptOf(fault.session, fault.volunteer) !== undefined) throw new Error('the fault is on record already');
      faults.push({ fault: copyOf(fault), proof: (proof?.length ?? 0) <= MAX_PROOF_CHARACTERS ? proof : null });
      const old = faults.at(-1 - MAX_PROOFS);
      if (old !== undefined) old.proof = null;
      earned.delete(fault.volunteer);
      suspensions.set(fault.volunteer, { ...suspension });
    },
    async prune(beforeMs) {
      for (const [volunteer, { atMs }] of hiddenFaults) if (atMs < beforeMs) hiddenFaults.delete(volunteer);
    },
    earned: (volunteer, numericClass) => ({ ...(earned.get(volunteer)?.get(numericClass) ?? NOTHING) }),
    hiddenFault(volunteer) {
      const there = hiddenFaults.get(volunteer);
      return there === undefined ? null : { ...there };
    },
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
