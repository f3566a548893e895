package main

import "testing"

// The part of the tests of every e2e container that is not about its project.

// unless is the right answer, or the one of a fault.
func unless[T any](fault bool, right, wrong T) T {
	if fault {
		return wrong
	}
	return right
}

// found is what is wrong by the checks that failed, by their names.
func (r *report) found() map[string]string {
	found := map[string]string{}
	for _, result := range r.cases {
		if result.Failure != nil {
			found[result.Name] = result.Failure.Message
		}
	}
	return found
}

// everyFaultIsFound wants each fault to be found by the check beside it.
func everyFaultIsFound(t *testing.T, faults map[string]string, checked func(t *testing.T, fault string) *report) {
	t.Helper()
	for fault, check := range faults {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			found := checked(t, fault).found()
			if _, failed := found[check]; !failed {
				t.Errorf("%s passed; what failed: %v", check, found)
			}
		})
	}
}

// everyVariableIsNeeded wants an error where any one of the variables is not there.
func everyVariableIsNeeded(t *testing.T, variables map[string]string, read func(environment) (target, error)) {
	t.Helper()
	for name := range variables {
		if _, err := read(func(asked string) string {
			return unless(asked == name, variables[asked], "")
		}); err == nil {
			t.Errorf("without %s there is no error", name)
		}
	}
}
