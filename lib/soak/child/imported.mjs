/*
 * Behind the modules that the user's `--import` names (tsx and its like): from here on the app's main module can be imported as it will be by Node.
 * Before, it would be without their hooks, and fail for Node as well.
 */

import child from './main.js'

child.imported()
