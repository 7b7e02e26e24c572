/** An alert in one sentence, for a page, a mail or a work order, in the languages of the page. */
import type { AlertFacts } from './alert.ts'
import { deviceModel, signalDisplayName } from './device-model.ts'

export const languages = ['en', 'de'] as const
export type Language = (typeof languages)[number]

type Parts = {
  readonly name: string
  readonly observed: string
  readonly range: string
  readonly min: string
  readonly max: string
  readonly who: string
}
type Sentences = {
  readonly reasons: Readonly<Record<AlertFacts['evidence']['reason'], (parts: Parts) => string>>
  readonly alsoMoving: (names: string) => string
  readonly range: (min: string, max: string) => string
  readonly scopes: Readonly<Record<'gateway' | 'site' | 'plant' | 'device', string>>
  readonly duration: (seconds: number) => string
}

const sentences: Readonly<Record<Language, Sentences>> = {
  en: {
    range: (min, max) => `${min} to ${max}`,
    alsoMoving: (names) => `Also moving: ${names}.`,
    scopes: {
      device: 'The device',
      gateway: 'The gateway and everything behind it',
      site: 'Every device of the site',
      plant: 'Every device',
    },
    duration: (seconds) => (seconds < 120 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`),
    reasons: {
      'above-limit': ({ name, observed, max }) => `${name} is ${observed}, above its limit of ${max}.`,
      'below-limit': ({ name, observed, min }) => `${name} is ${observed}, below its limit of ${min}.`,
      'unusually-high': ({ name, observed, range }) => `${name} is unusually high: ${observed}, expected ${range}.`,
      'unusually-low': ({ name, observed, range }) => `${name} is unusually low: ${observed}, expected ${range}.`,
      'unusual-for-the-time-of-day': ({ name, observed, range }) => `${name} is ${observed}; at this time of day ${range} is usual.`,
      'unusual-jump': ({ name, observed, range }) => `${name} jumped to ${observed}; from one reading to the next ${range} was expected.`,
      'unusual-step': ({ name, observed, range }) => `${name} moved to ${observed} faster than it ever does, expected ${range}.`,
      'changes-too-fast': ({ name, observed, range }) => `${name} changed to ${observed} faster than it can, expected ${range}.`,
      drifting: ({ name, observed, range }) =>
        `${name} has drifted away from where it was when the machine was new: now ${observed}, then ${range}.`,
      'does-not-fit-the-other-signals': ({ name, observed, range }) =>
        `${name} is ${observed}, which does not fit the other signals: by them ${range} is expected.`,
      stuck: ({ name, observed }) => `${name} no longer moves: it has been ${observed} longer than it ever was the same.`,
      'between-modes': ({ name, observed, range }) =>
        `${name} is ${observed}, where it has only ever passed through: it rests in other places, the nearest ${range}.`,
      spike: ({ name, observed }) => `${name} went far away and straight back to ${observed}, as it never does.`,
      missing: ({ name, observed }) => `${name} is no longer sent, while the device goes on; the last value was ${observed}.`,
      'no-data': ({ who, observed, max }) => `${who} has sent nothing for ${observed}; ${max} is usual at most.`,
    },
  },
  de: {
    range: (min, max) => `${min} bis ${max}`,
    alsoMoving: (names) => `Auch auffällig: ${names}.`,
    scopes: {
      device: 'Das Gerät',
      gateway: 'Das Gateway und alles dahinter',
      site: 'Jedes Gerät des Standorts',
      plant: 'Jedes Gerät',
    },
    duration: (seconds) => (seconds < 120 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`),
    reasons: {
      'above-limit': ({ name, observed, max }) => `${name}: ${observed}, über der Grenze von ${max}.`,
      'below-limit': ({ name, observed, min }) => `${name}: ${observed}, unter der Grenze von ${min}.`,
      'unusually-high': ({ name, observed, range }) => `${name} ungewöhnlich hoch: ${observed}, erwartet ${range}.`,
      'unusually-low': ({ name, observed, range }) => `${name} ungewöhnlich niedrig: ${observed}, erwartet ${range}.`,
      'unusual-for-the-time-of-day': ({ name, observed, range }) => `${name}: ${observed}; um diese Tageszeit ist ${range} üblich.`,
      'unusual-jump': ({ name, observed, range }) =>
        `${name} sprang auf ${observed}; von einem Messwert zum nächsten war ${range} erwartet.`,
      'unusual-step': ({ name, observed, range }) => `${name} ging auf ${observed}, schneller als je zuvor; erwartet ${range}.`,
      'changes-too-fast': ({ name, observed, range }) => `${name} ging auf ${observed}, schneller als möglich; erwartet ${range}.`,
      drifting: ({ name, observed, range }) => `${name} hat sich vom Neuzustand entfernt: jetzt ${observed}, damals ${range}.`,
      'does-not-fit-the-other-signals': ({ name, observed, range }) =>
        `${name}: ${observed} passt nicht zu den anderen Signalen; nach ihnen wäre ${range} zu erwarten.`,
      stuck: ({ name, observed }) => `${name} bewegt sich nicht mehr: ${observed}, länger unverändert als je zuvor.`,
      'between-modes': ({ name, observed, range }) =>
        `${name}: ${observed}, wo es bisher nur durchging; es ruht anderswo, am nächsten bei ${range}.`,
      spike: ({ name, observed }) => `${name} schlug weit aus und sofort zurück auf ${observed}, wie nie zuvor.`,
      missing: ({ name, observed }) => `${name} wird nicht mehr gesendet, während das Gerät weiterläuft; letzter Wert ${observed}.`,
      'no-data': ({ who, observed, max }) => `${who} hat seit ${observed} nichts gesendet; üblich sind höchstens ${max}.`,
    },
  },
}

export type Explained = Pick<AlertFacts, 'evidence' | 'signal' | 'modelId' | 'scope'>

/** Why an alert was raised. */
export function explainAlert({ evidence, signal, modelId, scope }: Explained, language: Language = 'en'): string {
  const words = sentences[language]
  const model = deviceModel(modelId)
  const unit = model?.signals[signal]?.unit ?? ''
  const amount = (value: number) => {
    if (evidence.reason === 'no-data') return words.duration(value)
    return `${formatValue(value, language)}${unit === '' ? '' : ` ${unit}`}`
  }
  const [min, max] = [amount(evidence.expectedMin), amount(evidence.expectedMax)]
  const sentence = words.reasons[evidence.reason]({
    name: signalDisplayName(model, signal),
    observed: amount(evidence.observed),
    range: words.range(min, max),
    min,
    max,
    who: words.scopes[scope ?? 'device'],
  })
  const others = evidence.alsoMoving.map((other) => signalDisplayName(model, other.signal))
  if (others.length === 0) return sentence
  return `${sentence} ${words.alsoMoving(language === 'en' ? others.join(', ').toLowerCase() : others.join(', '))}`
}

/** Four significant digits: what a person compares, not what a machine computes with. */
function formatValue(value: number, language: Language): string {
  const text = Number(value.toPrecision(4)).toString()
  return language === 'de' ? text.replace('.', ',') : text
}
