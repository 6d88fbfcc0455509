import { z } from 'zod';
import { digestSchema } from '#shared/ids.ts';
import type { Lending } from '#shared/peer/volunteer/volunteer.ts';
import { Stored, type KeyValueStorage } from './stored.svelte.ts';

/** With less, runs of several sessions would wait longer for each other than a requester does. */
export const MIN_DUTY_PERCENT = 25;

const volunteerSettingsSchema = z.object({
  backend: z.enum(['auto', 'webgpu', 'wasm']),
  /** Memory the person lends, in megabytes (10^6 bytes). */
  pledgeMegabytes: z.int().min(64).max(16_384),
  /** Sessions at once. */
  slots: z.int().min(1).max(8),
  /** Share of the time in which it computes. */
  dutyPercent: z.int().min(MIN_DUTY_PERCENT).max(100).default(100),
  /** Ask the device to stay awake while working. */
  keepAwake: z.boolean(),
});
export type VolunteerSettings = z.infer<typeof volunteerSettingsSchema>;

/** What these settings lend, as the volunteer takes it. */
export function lendingOf({ backend, pledgeMegabytes, slots, dutyPercent }: VolunteerSettings): Lending {
  return { backend, pledgeBytes: pledgeMegabytes * 1e6, slots, dutyShare: dutyPercent / 100 };
}

const askSettingsSchema = z.object({
  /** Null: the first model of the server. */
  model: digestSchema.nullable(),
  temperature: z.number().min(0).max(2),
  topP: z.number().min(0.05).max(1),
  maxNewTokens: z.int().min(1).max(4096),
  /** Null: a new one for each answer. */
  seed: z.int().min(0).max(0xffff_ffff).nullable(),
});
export type AskSettings = z.infer<typeof askSettingsSchema>;

/** The person's choices, kept in this browser. */
export class Settings {
  readonly volunteer: Stored<VolunteerSettings>;
  readonly ask: Stored<AskSettings>;

  constructor(storage: KeyValueStorage) {
    this.volunteer = new Stored(storage, 'chorus.volunteer', volunteerSettingsSchema, {
      backend: 'auto',
      pledgeMegabytes: 512,
      slots: 2,
      dutyPercent: 100,
      keepAwake: false,
    });
    this.ask = new Stored(storage, 'chorus.ask', askSettingsSchema, {
      model: null,
      temperature: 0.7,
      topP: 0.95,
      maxNewTokens: 256,
      seed: null,
    });
  }
}
