// As the entry points do: schemas are compiled from their first use on.
import 'zod/compile'
