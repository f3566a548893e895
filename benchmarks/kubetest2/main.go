// Command kubetest2-simulated is kubetest2 with a deployer whose build, up and down are commands, as those of
// kubetest2's own deployers are. It is compiled inside of kubetest2's module.
package main

import (
	"os"

	"github.com/octago/sflags/gen/gpflag"
	"github.com/spf13/pflag"

	"sigs.k8s.io/kubetest2/pkg/app"
	"sigs.k8s.io/kubetest2/pkg/exec"
	"sigs.k8s.io/kubetest2/pkg/types"
)

type deployer struct {
	BuildCommand string `desc:"what builds"`
	UpCommand    string `desc:"what creates the cluster"`
	DownCommand  string `desc:"what deletes it"`
}

func run(command string) error {
	if command == "" {
		return nil
	}
	started := exec.Command("sh", "-c", command)
	started.SetEnv(os.Environ()...)
	exec.InheritOutput(started)
	return started.Run()
}

func (d *deployer) Build() error           { return run(d.BuildCommand) }
func (d *deployer) Up() error              { return run(d.UpCommand) }
func (d *deployer) Down() error            { return run(d.DownCommand) }
func (d *deployer) IsUp() (bool, error)    { return true, nil }
func (d *deployer) DumpClusterLogs() error { return nil }

func create(types.Options) (types.Deployer, *pflag.FlagSet) {
	d := &deployer{}
	flags, err := gpflag.Parse(d)
	if err != nil {
		panic(err)
	}
	return d, flags
}

func main() { app.Main("simulated", create) }
