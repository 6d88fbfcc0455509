import { signEnvelope } from '#shared/crypto/dsse.ts';
import { randomBytes } from '#shared/crypto/web-crypto.ts';
import { ChorusError } from '#shared/errors.ts';
import { MANIFEST_PAYLOAD_TYPE } from '#shared/model/manifest.ts';
import { Volunteer, type LendingSettings, type VolunteerDeps } from '#shared/peer/volunteer/volunteer.ts';
import { MemoryBlobStore } from './memory-blob-store.ts';
import { toyManifestBytes } from './toy-model.ts';
import { serverIdentity, ToyControl, toyIdentity, toyVerify, type ToyNetwork } from './toy-network.ts';
import { ToyWorker } from './toy-worker.ts';

/** A volunteer of the toy network with its own thread, not started yet, and its end of the connection to the server. */
export interface ToyVolunteerStand {
  readonly volunteer: Volunteer;
  readonly control: ToyControl;
  readonly worker: ToyWorker;
}

export const toyLending: LendingSettings = {
  backend: 'auto',
  keepSubgroups: false,
  pledgeBytes: 1_000_000,
  slots: 2,
  dutyShare: 1,
  webrtc: true,
  held: [],
  isHidden: () => false,
};

/** Sits down at `network`; `settings` are taken as they are, getters too. */
export async function toyVolunteer(
  network: ToyNetwork,
  settings: LendingSettings = toyLending,
  fetchManifest?: VolunteerDeps['fetchManifest'],
): Promise<ToyVolunteerStand> {
  const identity = toyIdentity('the volunteer');
  const control = new ToyControl(identity.id);
  const worker = new ToyWorker(network.clock);
  network.seatSockets.set(identity.id, (seat) => control.say({ type: 'seat', seat }));
  const manifest = await signEnvelope(serverIdentity, MANIFEST_PAYLOAD_TYPE, toyManifestBytes);
  const volunteer = new Volunteer({
    ...{ identity, control, worker, settings, clock: network.clock, verify: toyVerify, random: randomBytes },
    links: network.links.join(identity.id),
    blobs: new MemoryBlobStore(),
    fetchRange: () => Promise.reject(new ChorusError('internal', 'the toy has no bytes to fetch')),
    fetchManifest: fetchManifest ?? (() => Promise.resolve(manifest)),
  });
  return { volunteer, control, worker };
}
