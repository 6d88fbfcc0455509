import { ChorusError } from '#shared/errors.ts';

/** A command that was called in a way that cannot be right, whatever the network is like: exit status 2. */
export class UsageError extends ChorusError {
  constructor(message: string) {
    super('bad-message', message, { exitStatus: 2 });
    this.name = 'UsageError';
  }
}
