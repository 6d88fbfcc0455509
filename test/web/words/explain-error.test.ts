import { describe, expect, test } from 'vitest';
import { ChorusError } from '#shared/errors.ts';
import { explainError } from '../../../web/words/explain-error.ts';

describe('an error is explained with what to do about it', () => {
  test('missing layers are named, and the Volunteer view offered', () => {
    const explanation = explainError(new ChorusError('no-coverage', 'x', { missing: { start: 4, end: 8 } }));
    expect(explanation.text).toContain('Nobody holds layers 4 to 7.');
    expect(explanation.goTo).toBe('volunteer');
  });

  test('a single missing layer is named as one', () => {
    const explanation = explainError(new ChorusError('no-coverage', 'x', { missing: { start: 4, end: 5 } }));
    expect(explanation.text).toContain('Nobody holds layer 4.');
  });

  test.each([[{ missing: null }], [{}], [{ missing: 'layers' }], [{ missing: { start: 4, end: 4 } }]])(
    'without usable layers in %j the server’s own words are used',
    (details) => {
      const { text } = explainError(new ChorusError('no-coverage', 'nobody holds the head', details));
      expect(text).toMatch(/^Nobody holds the head\. /);
    },
  );

  test('a code without an entry keeps its message, as a sentence', () => {
    const explanation = explainError(new ChorusError('internal', 'the sky fell'));
    expect(explanation).toEqual({ title: 'Something went wrong', text: 'The sky fell.', goTo: null, canRetry: true });
  });

  test('a want of room says what is full', () => {
    const { title, text } = explainError(new ChorusError('out-of-memory', 'no room for files: 5 of 5 MB are in use.'));
    expect(title).toBe('Not enough room on this device');
    expect(text).toMatch(/^No room for files: 5 of 5 MB are in use\. Lower the memory pledge/);
  });

  test('what trying again cannot cure offers no second try', () => {
    expect(explainError(new ChorusError('too-long', 'x')).canRetry).toBe(false);
  });
});
