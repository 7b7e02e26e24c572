/**
 * Imported before anything that asks for the browser's language. WebKit on a display without one (LANG=C) says `C`; the charts
 * hand that to `Intl`, which takes it for a mistake, and nothing at all is shown.
 */
try {
  Intl.getCanonicalLocales(navigator.language)
} catch {
  Object.defineProperty(navigator, 'language', { value: 'en', configurable: true })
}
